# What a project's Makefile includes: it sets NAME, and SOURCES where that is not NAME.c, and TESTS where there are any.
#
#     make test   builds sink and tests natively, with the sanitizers, and runs them
#     make core   builds the core module, which `sump build` makes a component of
SUMP := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
SOURCES ?= $(NAME).c
BUILD ?= build
CORE ?= $(BUILD)/$(NAME).core.wasm

CLANG ?= clang
CFLAGS ?= -Oz
WARNINGS ?= -Wall -Wextra -Werror
SANITIZE ?= -fsanitize=address,undefined -fno-sanitize-recover=all

sump_target := --target=wasm32-wasi
sump_common = -std=c11 $(WARNINGS) -I$(SUMP)/include
sump_parts := abi config event http level
sump_headers := $(wildcard $(SUMP)/include/*.h $(SUMP)/src/*.h *.h)

.PHONY: core test clean
.DEFAULT_GOAL := test

core: $(CORE)

# By pattern and not by name, so that a file of the project's can be called like one of the SDK's.
sump_objects := $(SOURCES:%.c=$(BUILD)/core/project/%.o) $(sump_parts:%=$(BUILD)/core/sump/%.o)
sump_compile = $(CLANG) $(sump_target) -mbulk-memory $(sump_common) $(CFLAGS) -flto -ffunction-sections -fdata-sections -c $< -o $@

# The stack lies below everything else, so that one that overflows ends the call and spoils nothing. Linking has no `-O`: with one,
# clang has whatever `wasm-opt` there is do its part, which takes no program whose features it isn't told.
$(CORE): $(sump_objects)
	@mkdir -p $(@D)
	$(CLANG) $(sump_target) -mexec-model=reactor -flto -Wl,--gc-sections,--strip-all,--stack-first,-z,stack-size=262144 $^ $(LDLIBS) -o $@

$(BUILD)/core/project/%.o: %.c $(sump_headers)
	@mkdir -p $(@D)
	$(sump_compile)

$(BUILD)/core/sump/%.o: $(SUMP)/src/%.c $(sump_headers)
	@mkdir -p $(@D)
	$(sump_compile)

test: $(TESTS:%.c=$(BUILD)/%)
	@for test in $^; do ASAN_OPTIONS=detect_leaks=0 $$test || exit 1; done

$(BUILD)/%: %.c $(SOURCES) $(sump_parts:%=$(SUMP)/src/%.c) $(SUMP)/src/test.c $(sump_headers)
	@mkdir -p $(@D)
	$(CC) $(sump_common) -O1 -g $(SANITIZE) \
		$< $(SOURCES) $(sump_parts:%=$(SUMP)/src/%.c) $(SUMP)/src/test.c $(LDLIBS) -lm -o $@

clean:
	rm -rf $(BUILD)
