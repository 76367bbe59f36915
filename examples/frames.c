/* Frames of one camera, in C: cc -std=c11 frames.c -o frames; ./frames SOCKET CAMERA [FRAMES]
 * One line a frame: sequence, timestamp, sum of the first 64 bytes. The protocol: docs/frame-protocol.md */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/dma-buf.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { OPENING = 1, POOL, BUFFERS, FRAME, FORGET, REFUSED, STATE, RETURNED = 17, SUBSCRIBE = 18 };
enum { VERSION = 2, PACKET = 65536, FDS = 253, POOLS = 16, PLANES = 8 };

struct head { uint8_t kind, pad; uint16_t count; uint32_t number; };
struct subscribe { struct head head; int64_t after_ns, lease_ns; uint16_t most, depth; uint32_t target; char name[]; };
struct pool { struct head head; uint32_t buffers, width_px, height_px, flags; char pixel_format[8]; };
struct buffers { struct head head; uint32_t first, planes; uint64_t lengths[]; };
struct frame {
    uint8_t kind, clock, source, planes;
    uint32_t pool, place, sequence;
    uint64_t lease, generation;
    int64_t timestamp_ns, uncertainty_ns, dequeued_ns, realtime_ns, exposure_ns, gain, limit_ns, began_ns, pulse;
    uint32_t lost_before, traces, skipped, reserved, offsets[PLANES], lengths[PLANES];
};
struct returned { struct head head; uint64_t lease; int64_t took_ns; uint16_t code, file, words, pad; };

struct plane { uint8_t *memory; uint64_t length; int fd; };
struct mapped { uint32_t number, buffers, planes; _Atomic uint64_t *marks; struct plane *all; }; /* free: no marks */
static struct mapped pools[POOLS];

static _Noreturn void fail(const char *what) { perror(what); exit(2); }
static _Noreturn void broken(const char *what) { fprintf(stderr, "what came is wrong: %s\n", what); exit(2); }

static struct mapped *find(uint32_t number, int unused) {
    for (struct mapped *pool = pools; pool < pools + POOLS; pool++)
        if (unused ? !pool->marks : pool->marks && pool->number == number) return pool;
    return NULL;
}

static void *map(int fd, uint64_t length) { /* reading beyond the end of a file is SIGBUS: look first */
    off_t size = lseek(fd, 0, SEEK_END);
    if (length == 0 || size < 0 || (uint64_t)size < length) broken("memory shorter than was said");
    void *memory = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) fail("mmap");
    return memory;
}

static void new_pool(const struct pool *message, int marks_fd) {
    struct mapped *pool = find(0, 1);
    if (!pool || message->head.count < 1 || message->head.count > PLANES || message->buffers > 4096) broken("a pool");
    *pool = (struct mapped){ message->head.number, message->buffers, message->head.count, NULL, NULL };
    pool->marks = map(marks_fd, 8 * (uint64_t)message->buffers);
    pool->all = calloc((size_t)pool->buffers * pool->planes, sizeof *pool->all);
    if (!pool->all) fail("calloc");
    close(marks_fd);
}

static void new_buffers(const struct buffers *message, const int *fds) {
    struct mapped *pool = find(message->head.number, 0);
    uint64_t all = pool ? (uint64_t)pool->buffers * pool->planes : 0, first = 1ull * message->first * message->planes;
    if (!pool || message->planes != pool->planes || first + message->head.count > all) broken("buffers");
    struct plane *plane = pool->all + first;
    for (uint32_t i = 0; i < message->head.count; i++, plane++)
        *plane = (struct plane){ map(fds[i], message->lengths[i]), message->lengths[i], fds[i] };
}

static void forget(uint32_t number) {
    struct mapped *pool = find(number, 0);
    if (!pool) return; /* it was never passed */
    for (struct plane *plane = pool->all; plane < pool->all + (size_t)pool->buffers * pool->planes; plane++)
        if (plane->memory) munmap(plane->memory, plane->length), close(plane->fd);
    munmap((void *)pool->marks, 8 * (size_t)pool->buffers);
    free(pool->all), pool->marks = NULL;
}

static void sync_plane(const struct plane *plane, uint64_t flags) { /* ENOTTY: no DMABUF, and nothing to be done */
    while (ioctl(plane->fd, DMA_BUF_IOCTL_SYNC, &(struct dma_buf_sync){ flags | DMA_BUF_SYNC_READ }) == -1
           && (errno == EINTR || errno == EAGAIN)) {}
}

static int read_frame(const struct frame *frame) { /* whether it was good until after it was read */
    struct mapped *pool = find(frame->pool, 0);
    if (!pool || frame->place >= pool->buffers) broken("a buffer that is not known");
    struct plane *plane = pool->all + (size_t)frame->place * pool->planes;
    if ((uint64_t)frame->offsets[0] + frame->lengths[0] > plane->length) broken("a frame beyond its buffer's end");
    if (atomic_load(&pool->marks[frame->place]) != frame->generation) return 0; /* taken back on its way here */
    uint32_t sum = 0;
    sync_plane(plane, DMA_BUF_SYNC_START);
    for (uint32_t i = 0; i < 64 && i < frame->lengths[0]; i++) sum += plane->memory[frame->offsets[0] + i];
    sync_plane(plane, DMA_BUF_SYNC_END);
    atomic_thread_fence(memory_order_acquire); /* the pixels are read before the mark is looked at again */
    if (atomic_load(&pool->marks[frame->place]) != frame->generation) return 0; /* what was read may be another's */
    printf("%u %lld %u\n", frame->sequence, (long long)frame->timestamp_ns, sum), fflush(stdout);
    return 1;
}

static void say(const char *what, const char *texts) { /* three texts with a zero byte between them */
    const char *second = texts + strlen(texts) + 1, *third = second + strlen(second) + 1;
    fprintf(stderr, "%s: %s; %s; %s\n", what, texts, second, third);
}

int main(int count, char **words) {
    static _Alignas(8) char packet[PACKET + 3]; /* zero bytes behind the longest: texts end */
    static _Alignas(struct cmsghdr) char room[CMSG_SPACE(FDS * sizeof(int))];
    if (count < 3 || strlen(words[2]) > 255) { fprintf(stderr, "usage: frames SOCKET CAMERA [FRAMES]\n"); return 2; }
    long left = count > 3 ? atol(words[3]) : -1;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    strncpy(address.sun_path, words[1], sizeof address.sun_path - 1);
    int channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (channel < 0 || connect(channel, (struct sockaddr *)&address, sizeof address)) fail(words[1]);
    struct subscribe *wish = (struct subscribe *)packet;
    *wish = (struct subscribe){ .head = { SUBSCRIBE, 0, VERSION, 0 }, .after_ns = INT64_MIN, .most = 1, .depth = 1 };
    memcpy(wish->name, words[2], strlen(words[2]));
    if (send(channel, wish, sizeof *wish + strlen(words[2]), MSG_NOSIGNAL) < 0 && errno != EPIPE) fail("send");
    while (left) {
        struct iovec place = { packet, PACKET };
        struct msghdr in = { .msg_iov = &place, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room };
        ssize_t size = recvmsg(channel, &in, MSG_CMSG_CLOEXEC);
        if (size < 0 && errno == ECONNRESET) continue; /* told once: what was sent before is still to be read */
        if (size <= 0) return fprintf(stderr, "the connection ended\n"), 3;
        if ((size_t)size < sizeof(struct head) || in.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) broken("a packet");
        memset(packet + size, 0, 3);
        struct cmsghdr *part = CMSG_FIRSTHDR(&in);
        int *fds = part ? (int *)CMSG_DATA(part) : NULL;
        size_t many = part ? (part->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0, length = (size_t)size;
        struct head *head = (struct head *)packet;
        if (head->kind == POOL && many == 1 && length >= sizeof(struct pool)) new_pool((struct pool *)packet, fds[0]);
        else if (head->kind == BUFFERS && many == head->count && length == sizeof(struct buffers) + 8 * many)
            new_buffers((struct buffers *)packet, fds);
        else if (head->kind == FRAME && length >= sizeof(struct frame)) {
            struct frame *frame = (struct frame *)packet;
            int good = read_frame(frame);
            struct returned back = { .head = { RETURNED, 0, 0, 0 }, .lease = frame->lease };
            send(channel, &back, sizeof back, MSG_NOSIGNAL); /* nobody there to hear it: the next recvmsg tells */
            for (size_t i = 0; i < many; i++) close(fds[i]); /* more trace ids than fit into a packet */
            left -= left > 0 && good;
        } else if (head->kind == FORGET) forget(head->number);
        else if (head->kind == STATE) say("state", packet + sizeof *head);
        else if (head->kind == REFUSED) return say("refused", packet + sizeof *head), 1;
        else if (head->kind != OPENING || head->count != VERSION) broken("a message, or another version");
    }
    return 0;
}
