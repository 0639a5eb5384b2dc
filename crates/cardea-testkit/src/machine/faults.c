/* A machine that fails, for one process under test: loaded before the C library (LD_PRELOAD), it stands between the
 * process and the kernel for a handful of calls. What it does is read from a board that the test writes to:
 * four numbers in a shared file. Without a board it does nothing. See mod.rs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct board {
    int64_t sync_error;  /* what a sync of a database file answers */
    int64_t sync_delay;  /* how long each sync takes, in milliseconds */
    int64_t write_error; /* what a write to a database file answers */
    int64_t clock_shift; /* by how much the wall clock is wrong, in seconds */
};

static volatile struct board *board;
static int trace = -1;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAULT_BOARD");
    if (name) {
        int fd = open(name, O_RDWR | O_CLOEXEC);
        void *mapped = fd < 0 ? MAP_FAILED
                              : mmap(NULL, sizeof(struct board), PROT_READ, MAP_SHARED, fd, 0);
        if (mapped == MAP_FAILED) abort();
        board = mapped;
    }
    name = getenv("FAULT_TRACE");
    if (name) {
        trace = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (trace < 0) abort();
    }
}

/* The path of an open database file; empty for anything else. */
static size_t database(int fd, char *path, size_t room) {
    char link[32] = "/proc/self/fd/";
    char digits[12];
    int at = 0, end = 14;
    if (fd < 0) return 0;
    do { digits[at++] = (char)('0' + fd % 10); fd /= 10; } while (fd);
    while (at) link[end++] = digits[--at];
    link[end] = 0;
    ssize_t length = readlink(link, path, room - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (strstr(path, "-shm") || !strstr(path, ".db")) return 0;
    return (size_t)length;
}

static void put(const void *bytes, size_t count) {
    const char *from = bytes;
    while (count) {
        ssize_t wrote = syscall(SYS_write, trace, from, count);
        if (wrote <= 0) abort();
        from += wrote;
        count -= (size_t)wrote;
    }
}

/* One line of the trace: what, where, and the bytes. */
static void tell(char what, const char *path, size_t length, int64_t at, const void *bytes, size_t count) {
    uint32_t name = (uint32_t)length;
    uint64_t size = count;
    put(&what, 1);
    put(&name, 4);
    put(&at, 8);
    put(&size, 8);
    put(path, length);
    put(bytes, count);
}

static ssize_t written(int fd, const void *bytes, size_t count, int64_t at, int placed) {
    char path[512];
    size_t length = 0;
    int tracing = trace >= 0 && fd != trace;
    if (tracing || (board && board->write_error)) length = database(fd, path, sizeof path);
    if (length && board && board->write_error) {
        errno = (int)board->write_error;
        return -1;
    }
    if (!tracing || (!length && fd != 1))
        return placed ? syscall(SYS_pwrite64, fd, bytes, count, at) : syscall(SYS_write, fd, bytes, count);
    pthread_mutex_lock(&one_at_a_time);
    if (!placed) at = length ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : 0;
    ssize_t wrote = placed ? syscall(SYS_pwrite64, fd, bytes, count, at) : syscall(SYS_write, fd, bytes, count);
    int why = errno;
    if (wrote > 0) tell(length ? 'W' : 'A', path, length, at, bytes, (size_t)wrote);
    pthread_mutex_unlock(&one_at_a_time);
    errno = why;
    return wrote;
}

ssize_t write(int fd, const void *bytes, size_t count) { return written(fd, bytes, count, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return written(fd, bytes, count, at, 1); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) { return written(fd, bytes, count, at, 1); }

static int cut(int fd, off_t length) {
    char path[512];
    size_t name = trace >= 0 ? database(fd, path, sizeof path) : 0;
    if (!name) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&one_at_a_time);
    int result = (int)syscall(SYS_ftruncate, fd, length);
    int why = errno;
    if (!result) tell('T', path, name, length, "", 0);
    pthread_mutex_unlock(&one_at_a_time);
    errno = why;
    return result;
}

int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off_t length) { return cut(fd, length); }

static int synced(int fd, long call) {
    char path[512];
    int watched = trace >= 0 || (board && (board->sync_error || board->sync_delay));
    size_t name = watched ? database(fd, path, sizeof path) : 0;
    if (!name) return (int)syscall(call, fd);
    if (board && board->sync_delay) {
        struct timespec time = {board->sync_delay / 1000, board->sync_delay % 1000 * 1000000};
        nanosleep(&time, NULL);
    }
    if (board && board->sync_error) {
        errno = (int)board->sync_error;
        return -1;
    }
    if (trace < 0) return (int)syscall(call, fd);
    pthread_mutex_lock(&one_at_a_time);
    int result = (int)syscall(call, fd);
    int why = errno;
    if (!result) tell('S', path, name, 0, "", 0);
    pthread_mutex_unlock(&one_at_a_time);
    errno = why;
    return result;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int clock_gettime(clockid_t which, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, which, time);
    if (!result && which == CLOCK_REALTIME && board) time->tv_sec += board->clock_shift;
    return result;
}
