# The C library: builds it, and installs it where PREFIX says.
#
#     make                        target/release/libraddle.so and libraddle.a
#     make install PREFIX=/usr    libraries, header and pkg-config file; DESTDIR goes in front, for packagers
#     make uninstall PREFIX=/usr
#     make examples               the programs of examples/c, against what was just built

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DESTDIR ?=
CARGO ?= cargo
# dev builds sooner, and runs slower.
PROFILE ?= release
CARGO_TARGET_DIR ?= target

VERSION := $(shell sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# Of the ABI, as crates/ffi/build.rs has it.
SONAME := libraddle.so.0
BUILT := $(CARGO_TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

.PHONY: all install uninstall examples
all:
	$(CARGO) build --package raddle-ffi --profile $(PROFILE) --target-dir $(CARGO_TARGET_DIR)

install: all
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)
	install -m 755 $(BUILT)/libraddle.so $(DESTDIR)$(LIBDIR)/libraddle.so.$(VERSION)
	ln -sf libraddle.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libraddle.so
	install -m 644 $(BUILT)/libraddle.a $(DESTDIR)$(LIBDIR)/libraddle.a
	install -m 644 include/raddle.h $(DESTDIR)$(INCLUDEDIR)/raddle.h
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	    -e 's|@VERSION@|$(VERSION)|' crates/ffi/raddle.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/raddle.pc

uninstall:
	rm -f $(DESTDIR)$(LIBDIR)/libraddle.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME) $(DESTDIR)$(LIBDIR)/libraddle.so \
	    $(DESTDIR)$(LIBDIR)/libraddle.a $(DESTDIR)$(LIBDIR)/pkgconfig/raddle.pc $(DESTDIR)$(INCLUDEDIR)/raddle.h

# Each is one file, and can be built alone: cc example.c $(pkg-config --cflags --libs raddle).
examples: all
	mkdir -p $(CARGO_TARGET_DIR)/c
	for source in examples/c/*.c; do \
	    name=$$(basename $$source .c); libraries=; \
	    if [ $$name = embed_uv ]; then pkg-config --exists libuv || { echo "embed_uv is left out: there is no libuv"; continue; }; libraries=$$(pkg-config --libs libuv); fi; \
	    $(CC) -O2 -Wall -Wextra -Iinclude -o $(CARGO_TARGET_DIR)/c/$$name $$source $(BUILT)/libraddle.a $$libraries \
	        -lpthread -ldl -lm || exit 1; \
	done
