// Blocks of threads on a processor, for tests. A block's threads are fibers of one thread of the system, so that barriers mean
// what they mean on a GPU. Blocks run one after the other. Threads and blocks get their turns in order or backwards: what lacks a
// barrier, or reads what another block of the launch writes, gives other numbers then. Shared memory is NaN when a block begins.

#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#ifdef __linux__
#include <link.h>
#endif
#include <ucontext.h>
#include <vector>

namespace emulator {

struct Index {
    unsigned x, y, z;
};

struct Barrier {
    unsigned size = 0, waiting = 0, turn = 0;
};

struct Warp {
    Barrier barrier;
    uint16_t rows[32][8];
    uint32_t a[32][4], b[32][2];
    float values[32];
};

struct Fiber {
    ucontext_t start;
    jmp_buf at;
    bool started = false, done = true;
    Barrier* barrier = nullptr; // that it waits at, since this turn
    unsigned turn = 0;
    std::vector<char> stack;
};

struct Shared {
    void* at = nullptr;
    size_t len = 0;
};

constexpr size_t STACK = 256 << 10;
constexpr unsigned MOST = 256;
static Fiber fibers[MOST];
static Warp warps[MOST / 32];
static Barrier block_barrier;
static jmp_buf scheduler;
static ucontext_t unused;
static Index thread_index, block_index, block_size, grid_size;
static void (*body)(const void*);
static const void* arguments;
static bool backwards = false; // the order in which threads and blocks get their turns

inline void pass() {
    unsigned self = thread_index.x;
    if (!_setjmp(fibers[self].at)) _longjmp(scheduler, 1);
}

inline void open(Barrier& b) {
    b.waiting = 0;
    b.turn++;
}

inline void wait(Barrier& b) {
    Fiber& self = fibers[thread_index.x];
    self.turn = b.turn;
    if (++b.waiting == b.size) return open(b);
    self.barrier = &b;
    pass();
}

inline void leave(Barrier& b) {
    if (--b.size && b.waiting == b.size) open(b);
}

// A fiber goes on with the next block when it is done with one: to make one takes longer than most threads.
static void entry() {
    for (;;) {
        body(arguments);
        fibers[thread_index.x].done = true;
        leave(warps[thread_index.x / 32].barrier);
        leave(block_barrier);
        pass();
    }
}

static void resume(unsigned thread) {
    Fiber& f = fibers[thread];
    thread_index.x = thread;
    f.barrier = nullptr;
    if (_setjmp(scheduler)) return;
    if (f.started) _longjmp(f.at, 1);
    f.started = true;
    setcontext(&f.start);
}

#ifdef __linux__
// Shared memory is all that this library has for each thread of the system.
static int find_shared(dl_phdr_info* object, size_t, void* to) {
    bool here = false;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr)& part = object->dlpi_phdr[i];
        here |= part.p_type == PT_LOAD && (uintptr_t)&backwards - object->dlpi_addr - part.p_vaddr < part.p_memsz;
    }
    for (unsigned i = 0; here && i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type != PT_TLS) continue;
        *(Shared*)to = Shared{object->dlpi_tls_data, object->dlpi_phdr[i].p_memsz};
    }
    return here;
}

static void forget_shared() {
    Shared shared;
    dl_iterate_phdr(find_shared, &shared);
    if (shared.at) memset(shared.at, 0xFF, shared.len);
}
#else
static void forget_shared() {}
#endif

static void run_block(unsigned threads) {
    forget_shared();
    block_barrier = Barrier{threads, 0, 0};
    for (unsigned w = 0; w < MOST / 32; w++) warps[w].barrier = Barrier{32, 0, 0};
    for (unsigned t = 0; t < threads; t++) {
        Fiber& f = fibers[t];
        f.done = false;
        f.barrier = nullptr;
        if (f.started) continue;
        f.stack.resize(STACK);
        getcontext(&f.start);
        f.start.uc_stack.ss_sp = f.stack.data();
        f.start.uc_stack.ss_size = STACK;
        f.start.uc_link = &unused;
        makecontext(&f.start, entry, 0);
    }
    for (bool alive = true, moved = true; alive;) {
        if (!moved) {
            fprintf(stderr, "emulated block: threads wait for each other\n");
            abort();
        }
        alive = moved = false;
        for (unsigned i = 0; i < threads; i++) {
            unsigned t = backwards ? threads - 1 - i : i;
            Fiber& f = fibers[t];
            if (f.done) continue;
            alive = true;
            if (f.barrier && f.barrier->turn == f.turn) continue;
            resume(t);
            moved = true;
        }
    }
}

// 0, or 1 where the caller's structure is not the kernel's.
static int launch(void (*kernel)(const void*), const void* args, size_t len, size_t expected, const unsigned* grid,
                  unsigned threads, unsigned most) {
    if (len != expected || threads > most || threads % 32) {
        fprintf(stderr, "emulated launch: %zu bytes for %zu, %u threads of %u\n", len, expected, threads, most);
        return 1;
    }
    body = kernel;
    arguments = args;
    grid_size = Index{grid[0], grid[1], grid[2]};
    block_size = Index{threads, 1, 1};
    unsigned blocks = grid[0] * grid[1] * grid[2];
    for (unsigned i = 0; i < blocks; i++) {
        unsigned block = backwards ? blocks - 1 - i : i;
        block_index = Index{block % grid[0], block / grid[0] % grid[1], block / grid[0] / grid[1]};
        run_block(threads);
    }
    return 0;
}

extern "C" void emulate_backwards(int yes) { backwards = yes; }

} // namespace emulator

