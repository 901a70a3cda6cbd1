/* wasi-libc's header, and what it leaves out of POSIX. */
#ifndef _WASI_EMULATED_GETPID
#define _WASI_EMULATED_GETPID
#endif
#include_next <unistd.h>
#ifndef _THREADWORK_UNISTD_H
#define _THREADWORK_UNISTD_H

#define __NEED_pid_t
#define __NEED_uid_t
#define __NEED_gid_t
#include <bits/alltypes.h>

#ifdef __cplusplus
extern "C" {
#endif

int pipe(int [2]);
int dup(int);
int dup2(int, int);
int chown(const char *, uid_t, gid_t);
int lchown(const char *, uid_t, gid_t);
int fchown(int, uid_t, gid_t);
int fchownat(int, const char *, uid_t, gid_t, int);
unsigned alarm(unsigned);
pid_t getppid(void);
uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
void sync(void);
ssize_t copy_file_range(int, off_t *, int, off_t *, size_t, unsigned);

#ifdef __cplusplus
}
#endif
#endif
