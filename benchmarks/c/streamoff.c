// SPDX-License-Identifier: GPL-3.0-or-later
// How long VIDIOC_STREAMOFF takes by itself: the floor under every cancel.
//
//   streamoff DEVICE COUNT INTERVAL_US SEED
//
// COUNT times: queue 4 MMAP buffers, STREAMON, take and give back 2 frames, wait a random part of a frame interval,
// STREAMOFF. Prints the nanoseconds of each STREAMOFF, one a line. Format and rate are those the device has.
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum { BUFFERS = 4, FRAMES = 2, LIMIT_MS = 10000 };

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

static void take_frame(int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    if (poll(&readable, 1, LIMIT_MS) != 1) {
        fprintf(stderr, "no frame within %d ms\n", LIMIT_MS);
        exit(1);
    }
    struct v4l2_buffer buffer = buffer_at(0);
    control(fd, VIDIOC_DQBUF, &buffer, "VIDIOC_DQBUF");
    control(fd, VIDIOC_QBUF, &buffer, "VIDIOC_QBUF");
}

static void wait_random(long long interval_us)
{
    long long wait_ns = 1000LL * (random() % interval_us);
    struct timespec wait = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    nanosleep(&wait, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: streamoff DEVICE COUNT INTERVAL_US SEED\n");
        return 2;
    }
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    int fd = open(argv[1], O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        fail(argv[1]);
    srandom(atoi(argv[4]));
    map_buffers(fd);
    for (int left = atoi(argv[2]); left > 0; left--) {
        for (unsigned index = 0; index < BUFFERS; index++) {
            struct v4l2_buffer buffer = buffer_at(index);
            control(fd, VIDIOC_QBUF, &buffer, "VIDIOC_QBUF");
        }
        control(fd, VIDIOC_STREAMON, &type, "VIDIOC_STREAMON");
        for (int frame = 0; frame < FRAMES; frame++)
            take_frame(fd);
        wait_random(atoll(argv[3]));
        long long entered_ns = now_ns();
        control(fd, VIDIOC_STREAMOFF, &type, "VIDIOC_STREAMOFF");
        printf("%lld\n", now_ns() - entered_ns);
    }
    return 0;
}
