// SPDX-License-Identifier: GPL-3.0-or-later
// How long an edge takes from a line that is set to a program that waits for it: bare ioctls, no library.
//
//   gpio_loop COUNT IN_CHIP IN_LINE line OUT_CHIP OUT_LINE      two lines that are wired together
//   gpio_loop COUNT IN_CHIP IN_LINE pull FILE                   gpio-sim: FILE is the `pull` of the input itself
//
// COUNT times: set the output active, wait for the rising edge on the input, set it inactive, pause for 1 ms. Prints two
// numbers for each, in nanoseconds: from right before the set call to the kernel's own stamp of the edge
// (CLOCK_MONOTONIC), and to the return of the read that fetched it. Chips are paths, lines are offsets.
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_MS = 10000, PAUSE_NS = 1000000 };

struct output {
    int fd;
    int is_pull;
};

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void control(int fd, unsigned long request, void *argument, const char *name)
{
    int answer;
    do
        answer = ioctl(fd, request, argument);
    while (answer < 0 && errno == EINTR);
    if (answer < 0)
        fail(name);
}

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int open_line(const char *chip, const char *line, unsigned long long flags)
{
    int fd = open(chip, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        fail(chip);
    struct gpio_v2_line_request asked = {
        .offsets = {atoi(line)}, .num_lines = 1, .consumer = "gpio_loop", .config = {.flags = flags}};
    control(fd, GPIO_V2_GET_LINE_IOCTL, &asked, "GPIO_V2_GET_LINE_IOCTL");
    close(fd);
    return asked.fd;
}

static struct output open_output(char **words)
{
    struct output output = {.is_pull = strcmp(words[0], "pull") == 0};
    if (output.is_pull)
        output.fd = open(words[1], O_WRONLY | O_CLOEXEC);
    else
        output.fd = open_line(words[1], words[2], GPIO_V2_LINE_FLAG_OUTPUT);
    if (output.fd < 0)
        fail(words[1]);
    return output;
}

static void set(struct output output, int active)
{
    if (output.is_pull) {
        const char *word = active ? "pull-up" : "pull-down";
        if (pwrite(output.fd, word, strlen(word), 0) < 0)
            fail("pull");
        return;
    }
    struct gpio_v2_line_values values = {.bits = active, .mask = 1};
    control(output.fd, GPIO_V2_LINE_SET_VALUES_IOCTL, &values, "GPIO_V2_LINE_SET_VALUES_IOCTL");
}

static long long wait_edge(int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    if (poll(&readable, 1, LIMIT_MS) != 1) {
        fprintf(stderr, "no edge within %d ms\n", LIMIT_MS);
        exit(1);
    }
    struct gpio_v2_line_event event;
    if (read(fd, &event, sizeof event) != sizeof event)
        fail("read");
    return event.timestamp_ns;
}

int main(int argc, char **argv)
{
    int is_pull = argc == 6 && strcmp(argv[4], "pull") == 0;
    if (!is_pull && !(argc == 7 && strcmp(argv[4], "line") == 0)) {
        fprintf(stderr, "usage: gpio_loop COUNT IN_CHIP IN_LINE (line OUT_CHIP OUT_LINE | pull FILE)\n");
        return 2;
    }
    struct output output = open_output(argv + 4);
    set(output, 0);
    int input = open_line(argv[2], argv[3], GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING);
    for (int left = atoi(argv[1]); left > 0; left--) {
        long long before_ns = now_ns();
        set(output, 1);
        long long edge_ns = wait_edge(input);
        long long read_ns = now_ns();
        printf("%lld %lld\n", edge_ns - before_ns, read_ns - before_ns);
        set(output, 0);
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    return 0;
}
