/* Signals that a program sends itself.
 *
 * Nobody else sends any: WASI has no signals. One that is sent runs its handler at once, in the thread
 * that sends it, or stays pending while it is blocked, until somebody unblocks it, `sigwait`s or
 * `sigsuspend`s for it. There is one mask, of the whole process. Whatever the program defines
 * itself takes precedence.
 *
 * Invariant: `lock` is held wherever `mask`, `pending` or `actions` are touched, and never while a handler runs.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WEAK __attribute__((weak))
#define BIT(signal) (1ULL << ((signal)-1))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sent = PTHREAD_COND_INITIALIZER;
static sigset_t mask, pending;
static struct sigaction actions[_NSIG];

/* What the header names SIG_IGN and SIG_ERR: only their addresses count. */
WEAK void __SIG_IGN(int signal)
{
    (void)signal;
}

WEAK void __SIG_ERR(int signal)
{
    (void)signal;
    abort();
}

static int is_signal(int signal)
{
    if (signal > 0 && signal < _NSIG)
        return 1;
    errno = EINVAL;
    return 0;
}

/* One signal of a set: its lowest. */
static int lowest(sigset_t set)
{
    return __builtin_ctzll(set) + 1;
}

/* Does what is to be done about a signal. */
static void deliver(int signal)
{
    pthread_mutex_lock(&lock);
    struct sigaction action = actions[signal];
    if (action.sa_flags & SA_RESETHAND)
        actions[signal].sa_handler = SIG_DFL;
    pthread_mutex_unlock(&lock);
    if (action.sa_handler == SIG_IGN)
        return;
    if (action.sa_handler == SIG_DFL) {
        if (signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH)
            return;
        fflush(NULL);
        _Exit(128 + signal);
    }
    if (action.sa_flags & SA_SIGINFO) {
        siginfo_t info = {.si_signo = signal};
        action.sa_sigaction(signal, &info, NULL);
    } else {
        action.sa_handler(signal);
    }
}

/* Delivers what is pending and not blocked. */
static void deliver_pending(void)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        sigset_t ready = pending & ~mask;
        int signal = ready ? lowest(ready) : 0;
        if (signal)
            pending &= ~BIT(signal);
        pthread_mutex_unlock(&lock);
        if (!signal)
            return;
        deliver(signal);
    }
}

WEAK int raise(int signal)
{
    if (!is_signal(signal))
        return -1;
    pthread_mutex_lock(&lock);
    pending |= BIT(signal);
    pthread_cond_broadcast(&sent);
    pthread_mutex_unlock(&lock);
    deliver_pending();
    return 0;
}

WEAK int kill(pid_t process, int signal)
{
    if (process != getpid() && process != 0 && process != -1) {
        errno = ESRCH;
        return -1;
    }
    return signal == 0 ? 0 : raise(signal);
}

WEAK int pthread_kill(pthread_t thread, int signal)
{
    (void)thread;
    return signal == 0 || raise(signal) == 0 ? 0 : errno;
}

WEAK int sigaction(int signal, const struct sigaction *restrict new, struct sigaction *restrict old)
{
    if (!is_signal(signal))
        return -1;
    if (new && (signal == SIGKILL || signal == SIGSTOP)) {
        errno = EINVAL;
        return -1;
    }
    pthread_mutex_lock(&lock);
    struct sigaction before = actions[signal];
    if (new)
        actions[signal] = *new;
    pthread_mutex_unlock(&lock);
    if (old)
        *old = before;
    return 0;
}

WEAK void (*signal(int signal, void (*handler)(int)))(int)
{
    struct sigaction new = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    return sigaction(signal, &new, &old) ? SIG_ERR : old.sa_handler;
}

WEAK int sigemptyset(sigset_t *set)
{
    *set = 0;
    return 0;
}

WEAK int sigfillset(sigset_t *set)
{
    *set = ~0ULL;
    return 0;
}

WEAK int sigaddset(sigset_t *set, int signal)
{
    if (!is_signal(signal))
        return -1;
    *set |= BIT(signal);
    return 0;
}

WEAK int sigdelset(sigset_t *set, int signal)
{
    if (!is_signal(signal))
        return -1;
    *set &= ~BIT(signal);
    return 0;
}

WEAK int sigismember(const sigset_t *set, int signal)
{
    return is_signal(signal) ? (*set & BIT(signal)) != 0 : -1;
}

WEAK int sigpending(sigset_t *set)
{
    pthread_mutex_lock(&lock);
    *set = pending;
    pthread_mutex_unlock(&lock);
    return 0;
}

WEAK int pthread_sigmask(int how, const sigset_t *restrict new, sigset_t *restrict old)
{
    pthread_mutex_lock(&lock);
    sigset_t before = mask;
    int wrong = 0;
    if (new) {
        if (how == SIG_BLOCK)
            mask |= *new;
        else if (how == SIG_UNBLOCK)
            mask &= ~*new;
        else if (how == SIG_SETMASK)
            mask = *new;
        else
            wrong = EINVAL;
    }
    pthread_mutex_unlock(&lock);
    if (wrong)
        return wrong;
    if (old)
        *old = before;
    deliver_pending();
    return 0;
}

WEAK int sigprocmask(int how, const sigset_t *restrict new, sigset_t *restrict old)
{
    int wrong = pthread_sigmask(how, new, old);
    if (wrong)
        errno = wrong;
    return wrong ? -1 : 0;
}

/* Waits for a signal of a set, and takes it. */
static int take(sigset_t set)
{
    pthread_mutex_lock(&lock);
    while (!(pending & set))
        pthread_cond_wait(&sent, &lock);
    int signal = lowest(pending & set);
    pending &= ~BIT(signal);
    pthread_mutex_unlock(&lock);
    return signal;
}

WEAK int sigwait(const sigset_t *restrict set, int *restrict signal)
{
    *signal = take(*set);
    return 0;
}

WEAK int sigsuspend(const sigset_t *blocked)
{
    deliver(take(~*blocked));
    errno = EINTR;
    return -1;
}
