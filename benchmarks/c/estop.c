// SPDX-License-Identifier: GPL-3.0-or-later
// From an emergency-stop edge to a stopped camera, with nothing in between: the floor under the agent's own stop.
//
//   estop DEVICE COUNT CHIP LINE
//
// COUNT times: queue 4 MMAP buffers, STREAMON, take 2 frames, print "ready" on standard error, then give frames back as
// they come until a rising edge of the line; STREAMOFF at once. Prints three CLOCK_MONOTONIC times for each, in
// nanoseconds: the kernel's stamp of the edge, the entry into STREAMOFF, its return. CHIP is a path, LINE an offset.
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BUFFERS = 4, FRAMES = 2, LIMIT_MS = 60000 };

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

static int open_line(const char *chip, const char *line)
{
    int fd = open(chip, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        fail(chip);
    struct gpio_v2_line_request asked = {
        .offsets = {atoi(line)},
        .num_lines = 1,
        .consumer = "estop",
        .config = {.flags = GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING}};
    control(fd, GPIO_V2_GET_LINE_IOCTL, &asked, "GPIO_V2_GET_LINE_IOCTL");
    close(fd);
    return asked.fd;
}

static struct v4l2_buffer buffer_at(unsigned index)
{
    struct v4l2_buffer buffer = {.index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    return buffer;
}

static void map_buffers(int fd)
{
    struct v4l2_requestbuffers asked = {
        .count = BUFFERS, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    control(fd, VIDIOC_REQBUFS, &asked, "VIDIOC_REQBUFS");
    if (asked.count != BUFFERS) {
        fprintf(stderr, "the driver gave %u buffers instead of %d\n", asked.count, BUFFERS);
        exit(1);
    }
    for (unsigned index = 0; index < BUFFERS; index++) {
        struct v4l2_buffer buffer = buffer_at(index);
        control(fd, VIDIOC_QUERYBUF, &buffer, "VIDIOC_QUERYBUF");
        if (mmap(NULL, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, buffer.m.offset) == MAP_FAILED)
            fail("mmap");
    }
}

static void start(int fd)
{
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    for (unsigned index = 0; index < BUFFERS; index++) {
        struct v4l2_buffer buffer = buffer_at(index);
        control(fd, VIDIOC_QBUF, &buffer, "VIDIOC_QBUF");
    }
    control(fd, VIDIOC_STREAMON, &type, "VIDIOC_STREAMON");
}

static void take_frame(int fd)
{
    struct v4l2_buffer buffer = buffer_at(0);
    control(fd, VIDIOC_DQBUF, &buffer, "VIDIOC_DQBUF");
    control(fd, VIDIOC_QBUF, &buffer, "VIDIOC_QBUF");
}

// Frames are taken and given back until the edge comes; the line is looked at first.
static long long wait_edge(int camera, int line)
{
    struct pollfd watched[] = {{.fd = line, .events = POLLIN}, {.fd = camera, .events = POLLIN}};
    for (int frames = 0;;) {
        int found = poll(watched, 2, LIMIT_MS);
        if (found < 0 && errno == EINTR)
            continue;
        if (found < 1) {
            fprintf(stderr, "neither edge nor frame within %d ms\n", LIMIT_MS);
            exit(1);
        }
        if (watched[0].revents) {
            struct gpio_v2_line_event event;
            if (read(line, &event, sizeof event) != sizeof event)
                fail("read");
            return event.timestamp_ns;
        }
        take_frame(camera);
        if (++frames == FRAMES)
            fprintf(stderr, "ready\n");
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: estop DEVICE COUNT CHIP LINE\n");
        return 2;
    }
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    int camera = open(argv[1], O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (camera < 0)
        fail(argv[1]);
    map_buffers(camera);
    int line = open_line(argv[3], argv[4]);
    for (int left = atoi(argv[2]); left > 0; left--) {
        start(camera);
        long long edge_ns = wait_edge(camera, line);
        long long entered_ns = now_ns();
        control(camera, VIDIOC_STREAMOFF, &type, "VIDIOC_STREAMOFF");
        printf("%lld %lld %lld\n", edge_ns, entered_ns, now_ns());
        fflush(stdout);
    }
    return 0;
}
