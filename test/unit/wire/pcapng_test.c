// Captures are read back by libpcap; parts that it does not show (filter, direction) are compared
// by bytes.
#include "../unit.h"
#include "rtvs/pcapng.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>

static uint8_t out[4096], data[2048];
static char long_text[1000];

static size_t
put_header(void)
{
	return pcapng_header(out, sizeof(out), "rtvswitch 0.1", "vm3", "icmp or arp", 1500);
}

static void
libpcap_reads_packets_back(void **state)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	FILE *file = tmpfile();
	const u_char *bytes;

	(void)state;
	assert_non_null(file);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	assert_int_equal(fwrite(out, 1, put_header(), file), put_header());
	for (uint32_t caplen = 0; caplen <= 65; caplen++) {
		size_t len = pcapng_packet(out, sizeof(out), UINT64_C(1700000000123456789) + caplen, caplen & 1,
			caplen + 1000, data, caplen);

		assert_in_range(len, caplen + 40, caplen + PCAPNG_PACKET_OVERHEAD);
		assert_int_equal(len % 4, 0);
		assert_int_equal(fwrite(out, 1, len, file), len);
	}
	rewind(file);
	pcap_t *pcap = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, error);
	assert_non_null(pcap);
	assert_int_equal(pcap_datalink(pcap), DLT_EN10MB);
	assert_int_equal(pcap_snapshot(pcap), 1500);
	for (uint32_t caplen = 0; caplen <= 65; caplen++) {
		assert_int_equal(pcap_next_ex(pcap, &header, &bytes), 1);
		assert_int_equal(header->ts.tv_sec, 1700000000);
		assert_int_equal(header->ts.tv_usec, 123456789 + caplen);
		assert_int_equal(header->caplen, caplen);
		assert_int_equal(header->len, caplen + 1000);
		assert_memory_equal(bytes, data, caplen);
	}
	assert_int_equal(pcap_next_ex(pcap, &header, &bytes), PCAP_ERROR_BREAK);
	pcap_close(pcap);
}

static bool
has_bytes(size_t len, const void *bytes, size_t n)
{
	return memmem(out, len, bytes, n);
}

static void
header_names_program_interface_and_filter(void **state)
{
	size_t len = put_header();

	(void)state;
	assert_true(has_bytes(len, "\4\0\x0d\0rtvswitch 0.1\0\0\0", 20));
	assert_true(has_bytes(len, "\2\0\3\0vm3\0", 8));
	assert_true(has_bytes(len, "\x0b\0\x0c\0\0icmp or arp", 16));
	assert_true(has_bytes(len, "\x09\0\1\0\x09\0\0\0", 8));
	len = pcapng_header(out, sizeof(out), "a", "b", NULL, 1500);
	assert_false(has_bytes(len, "\x0b\0", 2));
}

static void
direction_is_the_ports(void **state)
{
	(void)state;
	size_t len = pcapng_packet(out, sizeof(out), 0, false, 4, data, 4);
	assert_true(has_bytes(len, "\2\0\4\0\1\0\0\0", 8));
	len = pcapng_packet(out, sizeof(out), 0, true, 4, data, 4);
	assert_true(has_bytes(len, "\2\0\4\0\2\0\0\0", 8));
}

static void
long_texts_always_fit_the_header(void **state)
{
	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	size_t len = pcapng_header(out, PCAPNG_HEADER_MAX, long_text, long_text, long_text, 0);
	assert_in_range(len, 1, PCAPNG_HEADER_MAX);
	assert_false(has_bytes(len, "\x0b\0", 2)); // half a filter would be another one
	long_text[199] = '\0';
	len = pcapng_header(out, PCAPNG_HEADER_MAX, "a", "b", long_text, 0);
	assert_true(has_bytes(len, "\x0b\0\xc8\0\0x", 6));
	long_text[199] = 'x';
	long_text[200] = '\0';
	len = pcapng_header(out, PCAPNG_HEADER_MAX, "a", "b", long_text, 0);
	assert_false(has_bytes(len, "\x0b\0", 2));
}

static void
too_little_room_writes_nothing(void **state)
{
	size_t len = put_header();

	(void)state;
	memset(out, 0xee, sizeof(out));
	assert_int_equal(pcapng_header(out, len - 1, "rtvswitch 0.1", "vm3", "icmp or arp", 1500), 0);
	assert_int_equal(pcapng_packet(out, 99 + PCAPNG_PACKET_OVERHEAD, 0, false, 100, data, 100), 0);
	assert_int_equal(pcapng_packet(out, 0, 0, false, 100, data, UINT32_MAX), 0);
	assert_int_equal(out[0], 0xee);
	assert_int_not_equal(pcapng_packet(out, 100 + PCAPNG_PACKET_OVERHEAD, 0, false, 100, data, 100), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libpcap_reads_packets_back),
		cmocka_unit_test(header_names_program_interface_and_filter),
		cmocka_unit_test(direction_is_the_ports),
		cmocka_unit_test(long_texts_always_fit_the_header),
		cmocka_unit_test(too_little_room_writes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
