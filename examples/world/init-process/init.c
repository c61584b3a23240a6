#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static void forward(int number) {
    kill(child, number);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    struct sigaction action = {.sa_handler = forward};
    sigaction(SIGTERM, &action, 0);
    sigaction(SIGINT, &action, 0);
    if ((child = fork()) == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    for (;;) {
        int status;
        pid_t dead = wait(&status);
        if (dead == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (dead < 0 && errno != EINTR)
            return 1;
    }
}
