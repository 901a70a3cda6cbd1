/* What programs for POSIX call and wasi-libc leaves out: as far as WASI can do it, or else a failure that
 * says so. There is one user, 0, to whom all files belong, and one process, 1. Whatever the program
 * defines itself takes precedence.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

#define WEAK __attribute__((weak))

static int fails(int error)
{
    errno = error;
    return -1;
}

/* The cores, or the limit of threads if that is less, as the host says; 1 if it does not. */
WEAK int get_nprocs(void)
{
    const char *names[] = {"THREADWORK_PARALLELISM", "RAYON_NUM_THREADS"};
    for (int n = 0; n < 2; n++) {
        const char *text = getenv(names[n]);
        long cores = text ? strtol(text, NULL, 10) : 0;
        if (cores > 0 && cores <= INT32_MAX)
            return (int)cores;
    }
    return 1;
}

WEAK int get_nprocs_conf(void)
{
    return get_nprocs();
}

long __real_sysconf(int);

/* The linker is told to put this in the place of `sysconf`. */
long __wrap_sysconf(int name)
{
    if (name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF)
        return get_nprocs();
    return __real_sysconf(name);
}

WEAK int pipe(int ends[2])
{
    (void)ends;
    return fails(ENOSYS);
}

WEAK int dup(int file)
{
    (void)file;
    return fails(ENOSYS);
}

WEAK int dup2(int file, int other)
{
    (void)file, (void)other;
    return fails(ENOSYS);
}

/* Callers read and write, then. */
WEAK ssize_t copy_file_range(int from, off_t *at, int to, off_t *place, size_t bytes, unsigned flags)
{
    (void)from, (void)at, (void)to, (void)place, (void)bytes, (void)flags;
    return fails(ENOSYS);
}

WEAK unsigned alarm(unsigned seconds)
{
    (void)seconds;
    return 0;
}

WEAK pid_t getpid(void)
{
    return 1;
}

WEAK pid_t getppid(void)
{
    return 0;
}

WEAK uid_t getuid(void)
{
    return 0;
}

WEAK uid_t geteuid(void)
{
    return 0;
}

WEAK gid_t getgid(void)
{
    return 0;
}

WEAK gid_t getegid(void)
{
    return 0;
}

WEAK mode_t umask(mode_t mode)
{
    (void)mode;
    return 022;
}

WEAK void sync(void)
{
}

WEAK int fchown(int file, uid_t user, gid_t group)
{
    struct stat unused;
    if (fstat(file, &unused))
        return -1;
    return (user == 0 || user == (uid_t)-1) && (group == 0 || group == (gid_t)-1) ? 0 : fails(EPERM);
}

WEAK int fchownat(int folder, const char *path, uid_t user, gid_t group, int flags)
{
    struct stat unused;
    if (fstatat(folder, path, &unused, flags))
        return -1;
    return (user == 0 || user == (uid_t)-1) && (group == 0 || group == (gid_t)-1) ? 0 : fails(EPERM);
}

WEAK int chown(const char *path, uid_t user, gid_t group)
{
    return fchownat(AT_FDCWD, path, user, group, 0);
}

WEAK int lchown(const char *path, uid_t user, gid_t group)
{
    return fchownat(AT_FDCWD, path, user, group, AT_SYMLINK_NOFOLLOW);
}

/* Nanoseconds that all threads together were on a core, or that the program has run if the host cannot say. */
static __wasi_timestamp_t process_time(void)
{
    __wasi_timestamp_t time = 0;
    if (__wasi_clock_time_get(__WASI_CLOCKID_PROCESS_CPUTIME_ID, 0, &time) != 0)
        (void)!__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &time);
    return time;
}

WEAK clock_t clock(void)
{
    return (clock_t)(process_time() / (1000000000 / CLOCKS_PER_SEC));
}

WEAK clock_t times(struct tms *times)
{
    *times = (struct tms){.tms_utime = clock()};
    return clock();
}

WEAK int getrusage(int who, struct rusage *usage)
{
    *usage = (struct rusage){0};
    if (who != RUSAGE_SELF)
        return who == RUSAGE_CHILDREN ? 0 : fails(EINVAL);
    __wasi_timestamp_t time = process_time();
    usage->ru_utime.tv_sec = (time_t)(time / 1000000000);
    usage->ru_utime.tv_usec = (suseconds_t)(time % 1000000000 / 1000);
    return 0;
}

WEAK int getpriority(int which, id_t who)
{
    (void)which, (void)who;
    return 0;
}

WEAK int setpriority(int which, id_t who, int priority)
{
    (void)which, (void)who, (void)priority;
    return fails(ENOSYS);
}

WEAK int getrlimit(int what, struct rlimit *limit)
{
    (void)what;
    *limit = (struct rlimit){.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    return 0;
}

WEAK int setrlimit(int what, const struct rlimit *limit)
{
    (void)what, (void)limit;
    return fails(ENOSYS);
}

/* There is no `fork` that would call them. */
WEAK int pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)before, (void)parent, (void)child;
    return 0;
}

/* Memory, or a private copy of a part of a file. */
WEAK void *mmap(void *place, size_t bytes, int protection, int flags, int file, off_t offset)
{
    (void)place;
    int writes_through = (flags & MAP_TYPE) != MAP_PRIVATE && (protection & PROT_WRITE);
    if (bytes == 0 || (flags & MAP_FIXED) || (!(flags & MAP_ANONYMOUS) && writes_through)) {
        errno = bytes == 0 ? EINVAL : ENOTSUP;
        return MAP_FAILED;
    }
    void *memory = aligned_alloc(65536, (bytes + 65535) & ~(size_t)65535);
    if (!memory) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    size_t filled = 0;
    while (!(flags & MAP_ANONYMOUS) && filled < bytes) {
        ssize_t part = pread(file, (char *)memory + filled, bytes - filled, offset + (off_t)filled);
        if (part < 0) {
            free(memory);
            return MAP_FAILED;
        }
        if (part == 0)
            break;
        filled += (size_t)part;
    }
    memset((char *)memory + filled, 0, bytes - filled);
    return memory;
}

/* Only of what `mmap` has returned, as a whole. */
WEAK int munmap(void *memory, size_t bytes)
{
    (void)bytes;
    free(memory);
    return 0;
}

WEAK int mprotect(void *memory, size_t bytes, int protection)
{
    (void)memory, (void)bytes, (void)protection;
    return 0;
}

WEAK int msync(void *memory, size_t bytes, int flags)
{
    (void)memory, (void)bytes, (void)flags;
    return 0;
}

WEAK int madvise(void *memory, size_t bytes, int advice)
{
    (void)memory, (void)bytes, (void)advice;
    return 0;
}

WEAK int posix_madvise(void *memory, size_t bytes, int advice)
{
    (void)memory, (void)bytes, (void)advice;
    return 0;
}
