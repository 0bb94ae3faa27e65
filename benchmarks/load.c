/* The load generator: many WebSocket viewers of one server, in one thread.
 *
 * Owns what is measured from outside a server: how long after a tick's beginning its message has wholly
 * arrived, how many bytes that took, which ticks never came, and the server's CPU time and memory. It
 * must not know which server it is, nor what a message says: payloads are dropped in the kernel.
 *
 * When ticks begin it reads from a mapped file, into which the server's `server_metrics()` (or whatever
 * stands for it) puts CLOCK_MONOTONIC of each: a count, then that many nanoseconds, all int64. A message
 * belongs to the tick that was the latest when its first byte came. That is wrong only for a server
 * that is more than a whole tick behind, whose delays then look shorter than they are.
 *
 * The window begins with a tick and ends with one, so that CPU time is of whole ticks; what came before
 * it is left out: connecting, first messages, warming up. A server that does not tick any more gets a
 * window by the clock.
 *
 * Prints one JSON object. Exit status 1: not all viewers could connect.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
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
#define STAMPS 3600          /* as in scoreboard.py */
#define AT_ONCE 64           /* handshakes under way: below every server's listen backlog */
#define RAMP_LIMIT 180       /* seconds until all viewers must be connected */
#define TICK_LIMIT 15        /* seconds without a tick after which a server counts as frozen */
#define ALONE (3 * SECOND / 2) /* how long the first viewer is alone: at least a tick */
#define GRACE (SECOND / 4)   /* for messages under way when the window ends */
#define ROUND_MS 2           /* how late the beginning of a tick may be noticed */
#define SMALL_BUFFER 4096    /* receive buffer of viewers that stall or are slow */
#define SLOW_ROUND (SECOND / 50)
#define PER_ADDRESS 25000    /* connections from one source address: the kernel has 28,000 ports */
#define BUFFER 16384

enum kind { HEALTHY, STALLED, SLOW };
enum state { WAITING, CONNECTING, SHAKING, OPEN, CLOSED };

struct viewer {
    int fd;
    enum kind kind;
    enum state state;
    /* The frame that is being read */
    uint8_t head[14];
    int head_length;
    uint64_t payload_left;
    int opcode, fin;
    uint8_t control[125];
    int control_length;
    /* The message that is being read, or the last one */
    int in_message;
    int64_t tick;
    uint64_t message_bytes;
    /* The window */
    int64_t last_tick;
    uint64_t messages, ticks, bytes, control_bytes;
    uint64_t join_bytes; /* the largest message before the window */
    uint64_t taken;      /* by a slow viewer since it connected */
    int64_t opened_at;
};

static struct {
    int port, viewers, stalled, slow, pid;
    int64_t rate;
    double seconds, warmup;
    const char *path, *subprotocol, *stamps;
    int deflate;
} option = {.path = "/ws", .rate = 4096, .seconds = 10, .warmup = 3};

static struct viewer *viewers;
static int total, opened, failed, lost, deflated, spoken, epoll_fd;
static volatile const int64_t *stamps;

static enum { RAMP, WARM, READY, WINDOW, OVER } phase = RAMP;
static int64_t first_tick = LLONG_MAX, end_tick = LLONG_MAX, seen_ticks;
static int64_t phase_at, window_at, window_end_at;
static int64_t server_cpu, own_cpu;
static long alone_kb; /* the server's memory with one viewer: all that is no other viewer's */
static int stopped;   /* the window was not between two ticks, because there were none */

static uint32_t *latencies; /* microseconds */
static size_t latency_count, latency_room;
static uint64_t tick_bytes[STAMPS];

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

/* CPU time */

static int64_t read_server_cpu(void)
{
    struct timespec t;
    clockid_t clock;
    /* Of the whole process, threads that have ended included. */
    if (!option.pid || clock_getcpuclockid(option.pid, &clock) || clock_gettime(clock, &t))
        return 0;
    return t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t read_own_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static long read_memory(const char *field)
{
    char path[64], line[256];
    long kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%d/status", option.pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, field, strlen(field)))
            kilobytes = atol(line + strlen(field) + 1);
    fclose(file);
    return kilobytes;
}

/* The window */

static void begin_window(int64_t at, int64_t tick)
{
    first_tick = tick;
    window_at = at;
    server_cpu = read_server_cpu();
    own_cpu = read_own_cpu();
    phase = WINDOW;
}

static void end_window(int64_t at, int64_t tick)
{
    end_tick = tick;
    window_end_at = at;
    server_cpu = read_server_cpu() - server_cpu;
    own_cpu = read_own_cpu() - own_cpu;
    phase = OVER;
    phase_at = now();
}

/* Notice ticks that have begun, and where they put the window. */
static void check_ticks(void)
{
    int64_t count = stamps[0];
    while (seen_ticks < count) {
        int64_t tick = seen_ticks++, at = stamps[1 + tick];
        if (phase == READY)
            begin_window(at, tick);
        /* A third of a second: intervals differ by less, and whole ticks are meant. */
        else if (phase == WINDOW && at - window_at >= option.seconds * SECOND - SECOND / 3)
            end_window(at, tick);
    }
}

static void check_phase(int64_t at)
{
    check_ticks();
    int64_t frozen = TICK_LIMIT * SECOND;
    if (phase == RAMP && opened + failed == total) {
        phase = WARM;
        phase_at = at;
    } else if (phase == WARM && at - phase_at >= option.warmup * SECOND) {
        phase = READY;
        phase_at = at;
    } else if (phase == READY && at - phase_at >= frozen) {
        stopped = 1;
        begin_window(at, seen_ticks);
    } else if (phase == WINDOW && at - window_at >= option.seconds * SECOND + frozen) {
        stopped = 1;
        end_window(at, seen_ticks);
    }
}

/* Messages */

static int64_t tick_at(int64_t at)
{
    check_ticks();
    int64_t tick = seen_ticks - 1;
    while (tick >= 0 && stamps[1 + tick] > at)
        tick--;
    return tick;
}

static void record(struct viewer *v, int64_t at)
{
    if (v->tick < first_tick) {
        if (v->message_bytes > v->join_bytes)
            v->join_bytes = v->message_bytes;
        return;
    }
    if (v->tick >= end_tick)
        return;
    v->messages++;
    v->bytes += v->message_bytes;
    if (v->tick > v->last_tick) {
        v->ticks++;
        v->last_tick = v->tick;
    }
    if (v->kind != HEALTHY)
        return;
    if (v->message_bytes > tick_bytes[v->tick])
        tick_bytes[v->tick] = v->message_bytes;
    if (latency_count == latency_room) {
        latency_room = latency_room ? 2 * latency_room : 1 << 16;
        latencies = realloc(latencies, latency_room * sizeof *latencies);
        if (!latencies)
            die("realloc");
    }
    latencies[latency_count++] = (at - stamps[1 + v->tick]) / 1000;
}

static void end_viewer(struct viewer *v)
{
    if (v->state == OPEN && v->kind == HEALTHY && phase != OVER)
        lost++;
    if (v->state == CONNECTING || v->state == SHAKING)
        failed++;
    v->state = CLOSED;
    close(v->fd);
}

static void send_control(struct viewer *v, int opcode)
{
    uint8_t frame[6 + 125] = {0x80 | opcode, 0x80 | v->control_length, 'm', 'a', 's', 'k'};
    for (int i = 0; i < v->control_length; i++)
        frame[6 + i] = v->control[i] ^ frame[2 + i % 4];
    if (send(v->fd, frame, 6 + v->control_length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
        end_viewer(v);
}

static void end_frame(struct viewer *v, int64_t at)
{
    v->head_length = 0;
    if (v->opcode < 8) {
        if (v->fin) {
            v->in_message = 0;
            record(v, at);
        }
    } else if (v->opcode == 9) {
        send_control(v, 10);
    } else if (v->opcode == 8) {
        send_control(v, 8);
        if (v->state == OPEN)
            end_viewer(v);
    }
}

/* Take one more byte of a frame's head; return whether the head is complete. */
static int take_head(struct viewer *v, uint8_t byte)
{
    v->head[v->head_length++] = byte;
    if (v->head_length < 2)
        return 0;
    int length = v->head[1] & 0x7f;
    int size = length < 126 ? 2 : length == 126 ? 4 : 10;
    if (v->head_length < size)
        return 0;
    uint64_t payload = size == 2 ? (uint64_t)length : 0;
    for (int i = 2; i < size; i++)
        payload = payload << 8 | v->head[i];
    v->payload_left = payload;
    v->opcode = v->head[0] & 15;
    v->fin = v->head[0] >> 7;
    if (v->opcode < 8)
        v->message_bytes += size + payload;
    else if (phase == WINDOW)
        v->control_bytes += size + payload;
    v->control_length = 0;
    return 1;
}

static void feed(struct viewer *v, const uint8_t *data, size_t length, int64_t at)
{
    while (length && v->state == OPEN) {
        if (!v->payload_left) {
            if (!v->head_length && (*data & 15) < 8 && !v->in_message) {
                v->in_message = 1;
                v->message_bytes = 0;
                v->tick = tick_at(at);
            }
            length--;
            if (take_head(v, *data++) && !v->payload_left)
                end_frame(v, at);
            continue;
        }
        size_t part = length < v->payload_left ? length : v->payload_left;
        for (size_t i = 0; v->opcode >= 8 && i < part && v->control_length < 125; i++)
            v->control[v->control_length++] = data[i];
        data += part;
        length -= part;
        v->payload_left -= part;
        if (!v->payload_left)
            end_frame(v, at);
    }
}

/* Read what is there, `most` bytes at most; return how many there were. */
static size_t read_viewer(struct viewer *v, size_t most)
{
    static uint8_t buffer[BUFFER];
    size_t taken = 0;
    while (v->state == OPEN && taken < most) {
        /* A long payload is dropped in the kernel: copying it would only cost the generator time. */
        int drop = v->payload_left > BUFFER && v->opcode < 8;
        size_t want = drop ? v->payload_left : BUFFER;
        if (want > most - taken)
            want = most - taken;
        ssize_t got = recv(v->fd, buffer, want, MSG_DONTWAIT | (drop ? MSG_TRUNC : 0));
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (got <= 0) {
            end_viewer(v);
            break;
        }
        taken += got;
        if (drop) {
            v->payload_left -= got;
            if (!v->payload_left)
                end_frame(v, now());
        } else {
            feed(v, buffer, got, now());
        }
        if ((size_t)got < want)
            break;
    }
    return taken;
}

/* Connecting */

static void begin_viewer(struct viewer *v)
{
    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (v->fd < 0)
        die("socket");
    int one = 1, small = SMALL_BUFFER;
    setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (v->kind != HEALTHY)
        setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (v - viewers) / PER_ADDRESS);
    setsockopt(v->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(v->fd, (struct sockaddr *)&from, sizeof from))
        die("bind");
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(option.port);
    v->state = CONNECTING;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = v};
    if (connect(v->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        end_viewer(v);
    else if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, v->fd, &event))
        die("epoll_ctl");
}

static void send_handshake(struct viewer *v)
{
    char request[1024];
    int length = snprintf(
        request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bG9hZCBnZW5lcmF0b3IuIQ==\r\n%s%s%s%s\r\n",
        option.path, option.port,
        /* As browsers offer it. */
        option.deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "",
        option.subprotocol ? "Sec-WebSocket-Protocol: " : "",
        option.subprotocol ? option.subprotocol : "", option.subprotocol ? "\r\n" : "");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = v};
    v->state = SHAKING;
    if (send(v->fd, request, length, MSG_NOSIGNAL) != length)
        end_viewer(v);
    else if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, v->fd, &event))
        die("epoll_ctl");
}

/* Read the answer to the handshake, and no byte of what is behind it. */
static void read_handshake(struct viewer *v)
{
    char answer[2048];
    ssize_t got = recv(v->fd, answer, sizeof answer - 1, MSG_PEEK);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        end_viewer(v);
        return;
    }
    answer[got] = 0;
    char *end = memmem(answer, got, "\r\n\r\n", 4);
    if (!end && got < (ssize_t)sizeof answer - 1)
        return;
    if (!end || strncmp(answer, "HTTP/1.1 101 ", 13)) {
        end_viewer(v);
        return;
    }
    char head[sizeof answer];
    recv(v->fd, head, end + 4 - answer, 0);
    end[2] = 0;
    deflated += strcasestr(answer, "\r\nSec-WebSocket-Extensions: permessage-deflate") != NULL;
    spoken += strcasestr(answer, "\r\nSec-WebSocket-Protocol:") != NULL;
    v->state = OPEN;
    v->opened_at = now();
    opened++;
    /* Nobody looks at a stalled viewer again; a slow one has its turn by the clock. */
    if (v->kind != HEALTHY)
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, v->fd, NULL);
    else
        read_viewer(v, SIZE_MAX);
}

static void serve(struct viewer *v)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (v->state == CONNECTING) {
        getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error)
            end_viewer(v);
        else
            send_handshake(v);
    } else if (v->state == SHAKING) {
        read_handshake(v);
    } else if (v->state == OPEN) {
        read_viewer(v, SIZE_MAX);
    }
}

static void serve_slow(int64_t at)
{
    static int64_t last;
    if (at - last < SLOW_ROUND)
        return;
    last = at;
    for (int i = 0; i < total; i++) {
        struct viewer *v = &viewers[i];
        if (v->kind != SLOW)
            break; /* they come first */
        if (v->state != OPEN)
            continue;
        int64_t allowed = (at - v->opened_at) * option.rate / SECOND - v->taken;
        if (allowed > 0)
            v->taken += read_viewer(v, allowed);
    }
}

static void run(void)
{
    struct epoll_event events[1024];
    int begun = 0;
    int64_t started = now();
    for (;;) {
        if (!alone_kb && opened && now() - viewers[0].opened_at > ALONE)
            alone_kb = read_memory("VmRSS:");
        while (begun < (alone_kb || failed || !option.pid ? total : 1) && begun - opened - failed < AT_ONCE) {
            begin_viewer(&viewers[begun]);
            begun++;
        }
        int count = epoll_wait(epoll_fd, events, 1024, ROUND_MS);
        for (int i = 0; i < count; i++)
            serve(events[i].data.ptr);
        int64_t at = now();
        if (option.slow)
            serve_slow(at);
        check_phase(at);
        if (phase == RAMP && at - started > RAMP_LIMIT * SECOND) {
            failed = total - opened;
            return;
        }
        if (phase == OVER && at - phase_at > GRACE)
            return;
    }
}

/* The report */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int compare_bytes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double percentile(double share)
{
    if (!latency_count)
        return -1;
    return latencies[(size_t)(share * (latency_count - 1) + 0.5)] / 1000.0;
}

static void report(void)
{
    uint64_t sums[SLOW + 1][4] = {0}, *joins = calloc(total, sizeof *joins), least = UINT64_MAX;
    int healthy = 0;
    for (int i = 0; i < total; i++) {
        struct viewer *v = &viewers[i];
        sums[v->kind][0] += v->messages;
        sums[v->kind][1] += v->ticks;
        sums[v->kind][2] += v->bytes;
        sums[v->kind][3] += v->control_bytes;
        if (v->kind == HEALTHY) {
            joins[healthy++] = v->join_bytes;
            if (v->ticks < least)
                least = v->ticks;
        }
    }
    qsort(joins, healthy, sizeof *joins, compare_bytes);
    if (latency_count)
        qsort(latencies, latency_count, sizeof *latencies, compare);
    int64_t ticks = end_tick == LLONG_MAX ? 0 : end_tick - first_tick;
    double seconds = (window_end_at - window_at) / (double)SECOND;
    printf("{\"viewers\":%d,\"opened\":%d,\"failed\":%d,\"lost\":%d,\"deflated\":%d,\"spoken\":%d,",
           healthy, opened, failed, lost, deflated, spoken);
    printf("\"seconds\":%.6f,\"window_at\":%.6f,\"ticks\":%lld,\"stopped\":%s,", seconds,
           window_at / (double)SECOND, (long long)ticks, stopped ? "true" : "false");
    printf("\"server_cpu_ms\":%.6f,\"own_cpu_ms\":%.6f,", server_cpu / 1e6, own_cpu / 1e6);
    printf("\"rss_kb\":%ld,\"peak_kb\":%ld,\"alone_kb\":%ld,", read_memory("VmRSS:"),
           read_memory("VmHWM:"), alone_kb);
    printf("\"messages\":%llu,\"delivered\":%llu,\"least\":%llu,\"bytes\":%llu,\"control_bytes\":%llu,",
           (unsigned long long)sums[HEALTHY][0], (unsigned long long)sums[HEALTHY][1],
           (unsigned long long)(healthy ? least : 0), (unsigned long long)sums[HEALTHY][2],
           (unsigned long long)sums[HEALTHY][3]);
    printf("\"join_bytes\":%llu,\"slow_delivered\":%llu,\"slow_bytes\":%llu,",
           (unsigned long long)(healthy ? joins[healthy / 2] : 0), (unsigned long long)sums[SLOW][1],
           (unsigned long long)sums[SLOW][2]);
    printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"sizes\":[", percentile(0.5),
           percentile(0.99), percentile(1));
    for (int64_t tick = 0; tick < ticks; tick++)
        printf("%s%llu", tick ? "," : "", (unsigned long long)tick_bytes[first_tick + tick]);
    printf("]}\n");
}

static void read_options(int count, char **arguments)
{
    static const struct option names[] = {
        {"port", 1, 0, 'p'},    {"path", 1, 0, 'P'},   {"viewers", 1, 0, 'v'},
        {"stalled", 1, 0, 's'}, {"slow", 1, 0, 'l'},   {"slow-rate", 1, 0, 'r'},
        {"seconds", 1, 0, 't'}, {"warmup", 1, 0, 'w'}, {"stamps", 1, 0, 'S'},
        {"pid", 1, 0, 'i'},     {"deflate", 0, 0, 'd'}, {"subprotocol", 1, 0, 'u'},
        {0}};
    for (int c; (c = getopt_long(count, arguments, "", names, NULL)) != -1;)
        switch (c) {
        case 'p': option.port = atoi(optarg); break;
        case 'P': option.path = optarg; break;
        case 'v': option.viewers = atoi(optarg); break;
        case 's': option.stalled = atoi(optarg); break;
        case 'l': option.slow = atoi(optarg); break;
        case 'r': option.rate = atoll(optarg); break;
        case 't': option.seconds = atof(optarg); break;
        case 'w': option.warmup = atof(optarg); break;
        case 'S': option.stamps = optarg; break;
        case 'i': option.pid = atoi(optarg); break;
        case 'd': option.deflate = 1; break;
        case 'u': option.subprotocol = optarg; break;
        default: exit(2);
        }
    if (!option.port || !option.stamps || !option.viewers) {
        fprintf(stderr, "load: --port, --stamps and --viewers are needed\n");
        exit(2);
    }
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    int fd = open(option.stamps, O_RDONLY);
    if (fd < 0)
        die(option.stamps);
    stamps = mmap(NULL, (1 + STAMPS) * sizeof *stamps, PROT_READ, MAP_SHARED, fd, 0);
    if (stamps == MAP_FAILED)
        die("mmap");
    total = option.slow + option.stalled + option.viewers;
    viewers = calloc(total, sizeof *viewers);
    epoll_fd = epoll_create1(0);
    if (!viewers || epoll_fd < 0)
        die("start");
    for (int i = 0; i < total; i++) {
        viewers[i].kind = i < option.slow ? SLOW : i < option.slow + option.stalled ? STALLED : HEALTHY;
        viewers[i].last_tick = -1;
    }
    seen_ticks = stamps[0];
    run();
    report();
    return failed > 0;
}
