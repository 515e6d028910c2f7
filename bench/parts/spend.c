/* Runs a command and writes its wall and CPU seconds, its peak memory in KiB and its exit code to a descriptor.
 * Linux counts what a process had before exec to its peak, so a Python that started the command would show up in it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double seconds(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec * 1e-6; }

int main(int count, char **arguments)
{
    struct rusage used;
    int status;
    if (count < 3)
        return 64;
    int report = atoi(arguments[1]);
    fcntl(report, F_SETFD, FD_CLOEXEC);
    double start = clock_seconds();
    pid_t child = fork();
    if (!child) {
        execvp(arguments[2], arguments + 2);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &used) < 0)
        return 1;
    double wall = clock_seconds() - start, cpu = seconds(used.ru_utime) + seconds(used.ru_stime);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return dprintf(report, "%.6f %.6f %ld %d\n", wall, cpu, used.ru_maxrss, code) < 0;
}
