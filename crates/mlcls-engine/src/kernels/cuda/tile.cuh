// Tiles of depthwise convolutions: 8 columns of pixels and 32 channels, which a block has in shared memory.

// Rows and columns of a tile: fewer rows of outputs with stride 2, whose input is larger.
constexpr int COLUMNS = 8;
template <int S>
constexpr int ROWS_OF = S == 1 ? 8 : 4;

// The tiles of a map.
struct TileCount {
    int x, y; // of one image
    int all;  // of all images
    int pad;
};

// Where a tile begins.
struct Tile {
    int image, y, x;

    __device__ Tile(const TileCount& tiles, int rows, int tile) {
        int within = tile % (tiles.x * tiles.y);
        image = tile / (tiles.x * tiles.y);
        y = within / tiles.x * rows;
        x = within % tiles.x * COLUMNS;
    }
};

// A thread's place in tiles of so many rows: W channels of a column, and some rows.
template <int TALL, int W>
struct Place {
    static constexpr int ROWS = TALL / W, GROUPS = Lane<W>::GROUPS;
    int lane, group, column, row; // channel of the block's, group of threads, column and first row of the tile

    __device__ Place() {
        Lane<W> at;
        lane = at.first;
        group = at.group;
        column = group % COLUMNS;
        row = group / COLUMNS * ROWS;
    }
    // How many of its rows are there.
    __device__ int rows(int y, int h) const { return min(ROWS, h - y - row); }
};

// Weights [c, taps] of W channels from `ch` on; zeros where there are no channels.
template <int K, int W>
__device__ inline void weights_of(const float* weight, bool inside, int ch, float (&out)[K * K][W]) {
#pragma unroll
    for (int t = 0; t < K * K; t++) {
#pragma unroll
        for (int j = 0; j < W; j++) out[t][j] = inside ? weight[(size_t)(ch + j) * K * K + t] : 0.0f;
    }
}

// The input under the tile whose first output is (y, x): rows and columns from its first window on, zeros outside.
template <int K, int S>
struct InputTile {
    static constexpr int H = (ROWS_OF<S> - 1) * S + K, WIDTH = (COLUMNS - 1) * S + K;
    alignas(16) float v[H][WIDTH][LANES];

    template <int W>
    __device__ void fetch(const View& view, const Seen<W>& seen, const Window& win, const Tile& tile, bool inside, int ch) {
        struct Parts {
            Chunk<W> value;
            bool there;
        };
        Lane<W> lane;
        int top = tile.y * S - win.top, left = tile.x * S - win.left;
        auto at = [&](int pixel) {
            int y = top + pixel / WIDTH, x = left + pixel % WIDTH;
            Parts parts;
            parts.there = inside && (u32)y < (u32)win.h && (u32)x < (u32)win.w;
            if (parts.there) parts.value = chunk_at<W>(view.value + ((tile.image * win.h + y) * win.w + x) * win.c + ch);
            return parts;
        };
        auto use = [&](int pixel, const Parts& parts) {
            float value[W];
            fill(value, 0.0f);
            if (parts.there) {
                load(parts.value, value);
                seen.apply(value);
            }
            *reinterpret_cast<Numbers<W>*>(&v[pixel / WIDTH][pixel % WIDTH][lane.first]) = as_numbers(value);
        };
        stream<4>(lane.group, H * WIDTH, lane.GROUPS, at, use);
    }

    // Calls `use(row, tap, input)` for every row of a thread's outputs and every tap of their windows; each input is read once.
    template <int W, class Use>
    __device__ void slide(const Place<ROWS_OF<S>, W>& at, Use use) const {
        constexpr int ROWS = Place<ROWS_OF<S>, W>::ROWS;
#pragma unroll
        for (int y = 0; y < (ROWS - 1) * S + K; y++) {
#pragma unroll
            for (int x = 0; x < K; x++) {
                float input[W];
                numbers(&v[at.row * S + y][at.column * S + x][at.lane], input);
#pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    int tap = y - r * S;
                    if (tap >= 0 && tap < K) use(r, tap * K + x, input);
                }
            }
        }
    }
};
