// The cosine head: unit features times unit class vectors. A block has a row.

struct Cosine {
    View view;       // features [n, d]
    const float* weight; // [classes, d]
    float* x;        // unit features [n, d]
    float* x_inverse; // one over their lengths [n]
    float* w;        // unit class vectors [classes, d]
    float* w_inverse;
    Map out;         // logits, or their gradient [n, classes]
    Target target;   // of the features
    float* weight_gradient;
    int n, d, classes;
    float scale;
};

#define LENGTH_FLOOR 1e-12f

// Divides rows by their lengths: the images' features, then the class vectors.
KERNEL(cosine_units, Cosine, 256) {
    bool image = blockIdx.x < args.n;
    int row = image ? blockIdx.x : blockIdx.x - args.n, d = args.d;
    float* out = (image ? args.x : args.w) + (size_t)row * d;
    float sum = 0.0f;
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
        float v[1] = {0.0f};
        if (image) load<1>(args.view, (size_t)row * d + i, row, i, v);
        else v[0] = args.weight[(size_t)row * d + i];
        out[i] = v[0];
        sum += v[0] * v[0];
    }
    float inverse = 1.0f / fmaxf(sqrtf(block_sum(sum)), LENGTH_FLOOR);
    for (int i = threadIdx.x; i < d; i += blockDim.x) out[i] *= inverse;
    if (threadIdx.x == 0) (image ? args.x_inverse : args.w_inverse)[row] = inverse;
}

KERNEL(cosine_forward, Cosine, 256) {
    int lane = threadIdx.x % 32, d = args.d;
    const float* x = args.x + (size_t)blockIdx.x * d;
    for (int c = threadIdx.x / 32; c < args.classes; c += blockDim.x / 32) {
        float dot = 0.0f;
        for (int i = lane; i < d; i += 32) dot += x[i] * args.w[(size_t)c * d + i];
        dot = warp_sum(dot);
        float z = args.scale * fminf(fmaxf(dot, -1.0f), 1.0f);
        if (lane == 0) put(args.out, (size_t)blockIdx.x * args.classes + c, z);
    }
}

// The part of a gradient along the unit vector has no effect, where the length was not floored.
__device__ inline float along(float dot, float inverse) { return inverse < 1.0f / LENGTH_FLOOR ? dot : 0.0f; }

KERNEL(cosine_weight, Cosine, 256) {
    int c = blockIdx.x, d = args.d;
    const float* unit = args.w + (size_t)c * d;
    float* out = args.weight_gradient + (size_t)c * d;
    float dot = 0.0f;
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
        float g = 0.0f;
        for (int n = 0; n < args.n; n++) {
            g += args.scale * get(args.out, (size_t)n * args.classes + c) * args.x[(size_t)n * d + i];
        }
        out[i] = g;
        dot += g * unit[i];
    }
    dot = along(block_sum(dot), args.w_inverse[c]);
    for (int i = threadIdx.x; i < d; i += blockDim.x) out[i] = (out[i] - dot * unit[i]) * args.w_inverse[c];
}

KERNEL(cosine_input, Cosine, 256) {
    int n = blockIdx.x, d = args.d;
    float* unit = args.x + (size_t)n * d;
    float dot = 0.0f;
    auto gradient = [&](int i) {
        float g = 0.0f;
        for (int c = 0; c < args.classes; c++) {
            g += args.scale * get(args.out, (size_t)n * args.classes + c) * args.w[(size_t)c * d + i];
        }
        return g;
    };
    for (int i = threadIdx.x; i < d; i += blockDim.x) dot += gradient(i) * unit[i];
    dot = along(block_sum(dot), args.x_inverse[n]);
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
        give(args.target, (size_t)n * d + i, (gradient(i) - dot * unit[i]) * args.x_inverse[n]);
    }
}
