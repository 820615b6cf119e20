# Symbols of the C library that a file replaces on purpose: a call of one is a call of the C
# library.
STAND_INS = set()
