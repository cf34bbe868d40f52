/* Hostile input 314: loaded while the program runs, closed while its threads run, and loaded again. */
#define _GNU_SOURCE
#include <raddle.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *find(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (found == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return found;
}

/* A pointer to a function out of one to anything, for which ISO C has no words. */
#define FUNCTION(name)                       \
    __typeof__(&name) name##_;               \
    {                                        \
        void *found_ = find(library, #name); \
        memcpy(&name##_, &found_, sizeof found_); \
    }

int main(void) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    void *library = dlopen("libraddle.so.0", RTLD_NOW | RTLD_LOCAL), *again;
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    FUNCTION(raddle_server_config_new)
    FUNCTION(raddle_server_config_listen)
    FUNCTION(raddle_server_new)
    FUNCTION(raddle_server_start)
    FUNCTION(raddle_server_stop)
    FUNCTION(raddle_server_join)
    FUNCTION(raddle_server_free)
    FUNCTION(raddle_server_config_free)
    if (raddle_server_config_new_(&config) != RADDLE_OK || raddle_server_config_listen_(config, "127.0.0.1", 0, NULL) != RADDLE_OK ||
        raddle_server_new_(config, &server) != RADDLE_OK || raddle_server_start_(server) != RADDLE_OK) {
        return 2;
    }
    /* It stays, with its threads and with what it knows. */
    if (dlclose(library) != 0) return 3;
    again = dlopen("libraddle.so.0", RTLD_NOW | RTLD_NOLOAD);
    if (again == NULL || find(again, "raddle_server_free") != find(library, "raddle_server_free")) return 4;
    if (raddle_server_stop_(server, 1000) != RADDLE_OK || raddle_server_join_(server, 10000) != RADDLE_OK ||
        raddle_server_free_(server) != RADDLE_OK || raddle_server_free_(server) != RADDLE_ERR_HANDLE ||
        raddle_server_config_free_(config) != RADDLE_OK) {
        return 5;
    }
    return 0;
}
