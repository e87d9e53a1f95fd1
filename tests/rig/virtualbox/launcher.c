/* Stands in the place of VBoxHeadless on a host without VirtualBox's kernel module.
 *
 * VirtualBox's own VBoxHeadless insists on /dev/vboxdrv before it does anything else. Its
 * libraries do not: they have a driverless mode, in which an interpreter executes the guest.
 * So this initialises the runtime in that mode and then calls what VBoxHeadless would call.
 *
 * Build: gcc -O2 -Wall -Wextra -o VBoxHeadless launcher.c -ldl
 * It must lie in VirtualBox's program folder, where the runtime looks for its other libraries.
 */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The support library's flags (VirtualBox 7): no driver, and the interpreter may execute
 * everything. */
#define DRIVERLESS (1u << 2)
#define DRIVERLESS_IEM_ALLOWED (1u << 3)

typedef int (*init_exe)(int argc, char ***argv, uint32_t flags);
typedef int (*init_support)(uint32_t flags, void **session);
typedef int (*trusted_main)(int argc, char **argv, char **envp);

static char folder[PATH_MAX];

static void *library(const char *name)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    void *found = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!found) {
        fprintf(stderr, "launcher: %s\n", dlerror());
        exit(2);
    }
    return found;
}

static void *function(void *from, const char *name)
{
    void *found = dlsym(from, name);
    if (!found) {
        fprintf(stderr, "launcher: %s\n", dlerror());
        exit(2);
    }
    return found;
}

static void demand(const char *what, int code)
{
    if (code < 0) {
        fprintf(stderr, "launcher: %s failed with VirtualBox's code %d\n", what, code);
        exit(2);
    }
}

int main(int argc, char **argv, char **envp)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) {
        perror("launcher: /proc/self/exe");
        return 2;
    }
    self[length] = '\0';
    strcpy(folder, dirname(self));

    void *runtime = library("VBoxRT.so");
    demand("RTR3InitExe", ((init_exe)function(runtime, "RTR3InitExe"))(argc, &argv, 0));
    demand("SUPR3InitEx", ((init_support)function(runtime, "SUPR3InitEx"))(
                              DRIVERLESS | DRIVERLESS_IEM_ALLOWED, NULL));
    void *headless = library("VBoxHeadless.so");
    return ((trusted_main)function(headless, "TrustedMain"))(argc, argv, envp);
}
