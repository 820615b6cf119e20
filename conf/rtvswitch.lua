-- Wireshark and tshark: what rtvswitchd adds to Geneve, and what daemons tell each other (docs/wire.md).
--
--   tshark -X lua_script:rtvswitch.lua -O rtvs.meta,rtvs.peer -r FILE
--
-- or copy it into Wireshark's folder for Lua plugins. The option class, the port of peer messages and TAI - UTC are
-- preferences. Filters: rtvs.meta.residence > 1000000, rtvs.peer.flow.missed > 0.

local GENEVE_TYPE, META_BYTES = 1, 36
local IOAM_NAMESPACE, IOAM_TYPE = 0x8000, 0xb000
local PEER_VERSION, PEER_HEADER, PEER_TAG, PEER_FLOW = 1, 32, 32, 36
local NS_PER_S = 1000000000

local meta = Proto("rtvs.meta", "rtvswitch Option")
meta.prefs.option_class = Pref.uint("Geneve option class", 0xfff5, "As the daemons are configured")
meta.prefs.utc_offset = Pref.uint("TAI - UTC, s", 37, "To compare the option's time with that of the capture")

local m = {
	namespace = ProtoField.uint16("rtvs.meta.namespace", "IOAM namespace", base.HEX),
	e2e_type = ProtoField.uint16("rtvs.meta.e2e_type", "IOAM E2E type", base.HEX),
	seq = ProtoField.uint64("rtvs.meta.seq", "Sequence number"),
	seconds = ProtoField.uint32("rtvs.meta.seconds", "Seconds of TAI, lower 32 bits"),
	ns = ProtoField.uint32("rtvs.meta.ns", "Nanoseconds"),
	residence = ProtoField.uint32("rtvs.meta.residence", "Residence at the sender, ns"),
	deadline = ProtoField.uint32("rtvs.meta.deadline", "Deadline, ns"),
	flow = ProtoField.uint16("rtvs.meta.flow", "Flow"),
	age = ProtoField.relative_time("rtvs.meta.age", "From sending to this capture, if their clocks agree"),
}
meta.fields = {m.namespace, m.e2e_type, m.seq, m.seconds, m.ns, m.residence, m.deadline, m.flow, m.age}
local meta_ns_invalid = ProtoExpert.new("rtvs.meta.ns.invalid", "Nanoseconds from 10^9 on", expert.group.MALFORMED,
	expert.severity.ERROR)
local meta_twice = ProtoExpert.new("rtvs.meta.twice", "The option is there twice", expert.group.MALFORMED,
	expert.severity.ERROR)
meta.experts = {meta_ns_invalid, meta_twice}

local geneve_options = Field.new("geneve.options")
local capture_time = Field.new("frame.time_epoch")

-- The full seconds are those nearest to the capture's.
local function add_age(tree, seconds, ns)
	local captured = capture_time().value
	local captured_s = captured.secs + meta.prefs.utc_offset
	local distance = (seconds - captured_s) & 0xffffffff

	if distance >= 0x80000000 then
		distance = distance - 0x100000000
	end
	if math.abs(distance) < 0x7fffffff then
		local age_ns = -distance * NS_PER_S + captured.nsecs - ns
		local sign = age_ns < 0 and -1 or 1
		age_ns = age_ns * sign
		tree:add(m.age, NSTime.new(sign * (age_ns // NS_PER_S), sign * (age_ns % NS_PER_S))):set_generated()
	end
end

local function dissect_meta(option, tree)
	local subtree = tree:add(meta, option)
	local seconds, ns = option(16, 4), option(20, 4)

	subtree:add(m.namespace, option(4, 2))
	subtree:add(m.e2e_type, option(6, 2))
	subtree:add(m.seq, option(8, 8))
	subtree:add(m.seconds, seconds)
	local ns_item = subtree:add(m.ns, ns)
	subtree:add(m.residence, option(24, 4))
	subtree:add(m.deadline, option(28, 4))
	subtree:add(m.flow, option(32, 2))
	if ns:uint() < NS_PER_S then
		add_age(subtree, seconds:uint(), ns:uint())
	else
		ns_item:add_proto_expert_info(meta_ns_invalid)
	end
	return subtree
end

local function is_meta(option, bytes)
	return bytes == META_BYTES and option(0, 2):uint() == meta.prefs.option_class and
		option(2, 1):uint() == GENEVE_TYPE and option(4, 2):uint() == IOAM_NAMESPACE and
		option(6, 2):uint() == IOAM_TYPE
end

-- Wireshark's own dissector has no table for options, so they are gone through again when it is done.
function meta.dissector(_, _, tree)
	for _, field in ipairs({geneve_options()}) do
		local options, offset, n = field.range, 0, 0

		while offset + 4 <= options:len() do
			local bytes = 4 + 4 * (options(offset + 3, 1):uint() & 0x1f)

			if offset + bytes > options:len() then
				break
			end
			local option = options(offset, bytes)
			if is_meta(option, bytes) then
				local subtree = dissect_meta(option, tree)

				n = n + 1
				if n > 1 then
					subtree:add_proto_expert_info(meta_twice)
				end
			end
			offset = offset + bytes
		end
	end
end
register_postdissector(meta)

local peer = Proto("rtvs.peer", "rtvswitch Peer Message")
peer.prefs.port = Pref.uint("UDP port", 6082, "As the daemons are configured; others are found by their magic")

local HELLO, CLOCK_REQUEST, CLOCK_REPLY, FEEDBACK = 1, 2, 3, 4
local types = {[HELLO] = "HELLO", [CLOCK_REQUEST] = "CLOCK_REQUEST", [CLOCK_REPLY] = "CLOCK_REPLY", [FEEDBACK] = "FEEDBACK"}
local p = {
	version = ProtoField.uint8("rtvs.peer.version", "Version"),
	type = ProtoField.uint8("rtvs.peer.type", "Type", base.DEC, types),
	key = ProtoField.uint16("rtvs.peer.key", "Key id"),
	session = ProtoField.uint64("rtvs.peer.session", "Session of the sender", base.HEX),
	echo = ProtoField.uint64("rtvs.peer.echo", "Session of the receiver, as the sender knows it", base.HEX),
	seq = ProtoField.uint64("rtvs.peer.seq", "Sequence number"),
	t1 = ProtoField.uint64("rtvs.peer.t1", "Request sent, ns of TAI"),
	t2 = ProtoField.uint64("rtvs.peer.t2", "Request received, ns of TAI"),
	t3 = ProtoField.uint64("rtvs.peer.t3", "Reply sent, ns of TAI"),
	count = ProtoField.uint16("rtvs.peer.count", "Flows"),
	flow = ProtoField.uint16("rtvs.peer.flow", "Flow"),
	flags = ProtoField.uint16("rtvs.peer.flow.flags", "Flags", base.HEX),
	packets = ProtoField.uint32("rtvs.peer.flow.packets", "Packets"),
	lost = ProtoField.uint32("rtvs.peer.flow.lost", "Lost"),
	missed = ProtoField.uint32("rtvs.peer.flow.missed", "Missed their deadline"),
	over = ProtoField.uint32("rtvs.peer.flow.worst_over", "Worst overshoot, ns"),
	network = ProtoField.uint32("rtvs.peer.flow.worst_network", "Worst share of the network, ns"),
	uncertainty = ProtoField.uint32("rtvs.peer.flow.uncertainty", "Uncertainty, ns"),
	last_seq = ProtoField.uint64("rtvs.peer.flow.last_seq", "Highest sequence number"),
	tag = ProtoField.bytes("rtvs.peer.tag", "Tag"),
}
peer.fields = {p.version, p.type, p.key, p.session, p.echo, p.seq, p.t1, p.t2, p.t3, p.count, p.flow, p.flags, p.packets,
	p.lost, p.missed, p.over, p.network, p.uncertainty, p.last_seq, p.tag}
local peer_refused = ProtoExpert.new("rtvs.peer.refused", "Version, type, count or length that no receiver takes",
	expert.group.MALFORMED, expert.severity.ERROR)
peer.experts = {peer_refused}

local flow_fields = {{p.flow, 2}, {p.flags, 2}, {p.packets, 4}, {p.lost, 4}, {p.missed, 4}, {p.over, 4}, {p.network, 4},
	{p.uncertainty, 4}, {p.last_seq, 8}}

-- Bytes that a message's body has to have; nil: there is no such message.
local function body_bytes(tvb)
	local kind = tvb(5, 1):uint()

	if kind == HELLO then
		return 0
	elseif kind == CLOCK_REQUEST then
		return 8
	elseif kind == CLOCK_REPLY then
		return 24
	elseif kind == FEEDBACK and tvb:len() >= PEER_HEADER + PEER_TAG + 4 then
		local count = tvb(PEER_HEADER, 2):uint()

		return count >= 1 and count <= 37 and 4 + PEER_FLOW * count or nil
	end
	return nil
end

local function dissect_body(kind, body, tree)
	if kind == CLOCK_REQUEST or kind == CLOCK_REPLY then
		tree:add(p.t1, body(0, 8))
	end
	if kind == CLOCK_REPLY then
		tree:add(p.t2, body(8, 8))
		tree:add(p.t3, body(16, 8))
	elseif kind == FEEDBACK then
		tree:add(p.count, body(0, 2))
		for offset = 4, body:len() - PEER_FLOW, PEER_FLOW do
			local flow, at = body(offset, PEER_FLOW), 0
			local subtree = tree:add(flow, "Flow " .. flow(0, 2):uint())

			for _, field in ipairs(flow_fields) do
				subtree:add(field[1], flow(at, field[2]))
				at = at + field[2]
			end
		end
	end
end

local function is_peer(tvb)
	return tvb:len() >= PEER_HEADER + PEER_TAG and tvb(0, 4):string() == "RTVS"
end

function peer.dissector(tvb, pinfo, tree)
	if not is_peer(tvb) then
		return 0
	end
	local kind = tvb(5, 1):uint()
	local subtree = tree:add(peer, tvb())

	pinfo.cols.protocol = "RTVS"
	pinfo.cols.info = types[kind] or "type " .. kind
	subtree:add(p.version, tvb(4, 1))
	subtree:add(p.type, tvb(5, 1))
	subtree:add(p.key, tvb(6, 2))
	subtree:add(p.session, tvb(8, 8))
	subtree:add(p.echo, tvb(16, 8))
	subtree:add(p.seq, tvb(24, 8))
	local bytes = body_bytes(tvb)
	if tvb(4, 1):uint() ~= PEER_VERSION or bytes ~= tvb:len() - PEER_HEADER - PEER_TAG then
		subtree:add_proto_expert_info(peer_refused)
		return tvb:len()
	end
	if bytes > 0 then
		dissect_body(kind, tvb(PEER_HEADER, bytes), subtree)
	end
	subtree:add(p.tag, tvb(tvb:len() - PEER_TAG, PEER_TAG))
	return tvb:len()
end

local udp_ports, current_port = DissectorTable.get("udp.port"), peer.prefs.port
udp_ports:add(current_port, peer)
function peer.prefs_changed()
	udp_ports:remove(current_port, peer)
	current_port = peer.prefs.port
	udp_ports:add(current_port, peer)
end
peer:register_heuristic("udp", function(tvb, pinfo, tree)
	return is_peer(tvb) and peer.dissector(tvb, pinfo, tree) > 0
end)
