/* The floor: the least that any server can spend on sending these bytes to so many sockets.
 *
 * Once a second it writes the same frame to every connection with send(), in one loop: no scoreboard, no
 * encoder, no event loop. It answers WebSocket handshakes, so that the same load generator reads from it,
 * and notes the beginning of each tick in the stamps' file, as the fake mod_wsgi does.
 *
 * Usage: floor PORT STAMPS DEFLATE(0|1) SIZE...     sizes of frames in turn, heads included
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define STAMPS 3600 /* as in scoreboard.py */
#define MOST 100000 /* file descriptors */
#define BACKLOG 128 /* asyncio's default is 100 */

static uint8_t open_viewers[MOST];
static int highest;
static volatile int64_t *stamps;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* Return the bytes of a binary message whose frame has this size. */
static uint8_t *make_frame(size_t size)
{
    uint8_t *frame = calloc(1, size + 10);
    if (!frame)
        die("calloc");
    frame[0] = 0x82;
    if (size < 2 + 126) {
        frame[1] = size - 2;
    } else if (size < 4 + 65536) {
        frame[1] = 126;
        frame[2] = (size - 4) >> 8;
        frame[3] = size - 4;
    } else {
        frame[1] = 127;
        for (int i = 0; i < 8; i++)
            frame[2 + i] = (uint64_t)(size - 10) >> 8 * (7 - i);
    }
    return frame;
}

static void leave(int fd)
{
    open_viewers[fd] = 0;
    close(fd);
}

static void shake(int fd, int deflate)
{
    char request[4096], answer[256];
    ssize_t got = recv(fd, request, sizeof request, MSG_DONTWAIT);
    if (got <= 0) {
        leave(fd);
        return;
    }
    if (open_viewers[fd])
        return;
    int length = snprintf(answer, sizeof answer,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\n%s\r\n",
                          deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    send(fd, answer, length, MSG_NOSIGNAL);
    open_viewers[fd] = 1;
    if (fd > highest)
        highest = fd;
}

static void tick(const uint8_t *frame, size_t size)
{
    int64_t count = stamps[0];
    if (count == STAMPS)
        exit(0);
    stamps[1 + count] = now();
    stamps[0] = count + 1;
    for (int fd = 0; fd <= highest; fd++) {
        if (!open_viewers[fd])
            continue;
        ssize_t sent = send(fd, frame, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        /* A floor that waits for nobody can't go on inside a frame. */
        if (sent != (ssize_t)size)
            leave(fd);
    }
}

static void run(int listener, int deflate, uint8_t **frames, size_t *sizes, int count)
{
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.fd = listener};
    int epoll_fd = epoll_create1(0), one = 1;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    int64_t due = now() + SECOND;
    for (int turn = 0;;) {
        int64_t left = due - now();
        if (left <= 0) {
            tick(frames[turn % count], sizes[turn % count]);
            turn++;
            due += SECOND;
            continue;
        }
        int ready = epoll_wait(epoll_fd, events, 256, left / 1000000 + 1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != listener) {
                shake(events[i].data.fd, deflate);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0 || fd >= MOST)
                continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            event.data.fd = fd;
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
        }
    }
}

int main(int count, char **arguments)
{
    if (count < 5) {
        fprintf(stderr, "usage: floor PORT STAMPS DEFLATE SIZE...\n");
        return 2;
    }
    int fd = open(arguments[2], O_RDWR), one = 1, sizes_count = count - 4;
    stamps = mmap(NULL, (1 + STAMPS) * sizeof *stamps, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || stamps == MAP_FAILED)
        die(arguments[2]);
    uint8_t *frames[sizes_count];
    size_t sizes[sizes_count];
    for (int i = 0; i < sizes_count; i++) {
        sizes[i] = strtoul(arguments[4 + i], NULL, 10);
        if (sizes[i] < 2)
            die("size");
        frames[i] = make_frame(sizes[i]);
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, BACKLOG))
        die("listen");
    run(listener, atoi(arguments[3]), frames, sizes, sizes_count);
}
