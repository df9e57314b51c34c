// Activations, numbered as in the graph, and their derivatives.

enum Act { IDENTITY, RELU, RELU6, HARD_SWISH, SILU, SIGMOID, HARD_SIGMOID };

// Within 2 units in the last place; of shorter formats, within what they tell apart.
#if PRECISION == FP32
__device__ inline float sigmoid(float x) { return __fdividef(1.0f, 1.0f + expf(-x)); }
#else
__device__ inline float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
#endif
__device__ inline float relu6(float x) { return fminf(fmaxf(x, 0.0f), 6.0f); }

// The choice is made once for all elements.
template <int W, class F>
__device__ inline void each(float (&x)[W], F f) {
#pragma unroll
    for (int i = 0; i < W; i++) x[i] = f(x[i]);
}

template <int W>
__device__ inline void activate(int act, float (&x)[W]) {
    switch (act) {
    case RELU: return each(x, [](float x) { return fmaxf(x, 0.0f); });
    case RELU6: return each(x, [](float x) { return relu6(x); });
    case HARD_SWISH: return each(x, [](float x) { return x * relu6(x + 3.0f) * (1.0f / 6.0f); });
    case SILU: return each(x, [](float x) { return x * sigmoid(x); });
    case SIGMOID: return each(x, [](float x) { return sigmoid(x); });
    case HARD_SIGMOID: return each(x, [](float x) { return relu6(x + 3.0f) * (1.0f / 6.0f); });
    default: return;
    }
}

__device__ inline float activate(int act, float x) {
    float one[1] = {x};
    activate(act, one);
    return one[0];
}

// Turns `x` into the derivative at it; on a corner the one that the processors' kernels take.
template <int W>
__device__ inline void slope(int act, float (&x)[W]) {
    switch (act) {
    case RELU: return each(x, [](float x) { return x > 0.0f ? 1.0f : 0.0f; });
    case RELU6: return each(x, [](float x) { return x > 0.0f && x < 6.0f ? 1.0f : 0.0f; });
    case HARD_SWISH:
        return each(x, [](float x) { return x >= 3.0f ? 1.0f : x > -3.0f ? x * (1.0f / 3.0f) + 0.5f : 0.0f; });
    case SILU:
        return each(x, [](float x) {
            float s = sigmoid(x);
            return s + x * s * (1.0f - s);
        });
    case SIGMOID:
        return each(x, [](float x) {
            float s = sigmoid(x);
            return s * (1.0f - s);
        });
    case HARD_SIGMOID: return each(x, [](float x) { return x > -3.0f && x < 3.0f ? 1.0f / 6.0f : 0.0f; });
    default: return each(x, [](float) { return 1.0f; });
    }
}

__device__ inline float slope(int act, float x) {
    float one[1] = {x};
    slope(act, one);
    return one[0];
}
