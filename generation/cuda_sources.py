"""CUDA source of `generation.cuda_kernels`: a header and, for each kernel, the body of a function that MLX declares."""

from __future__ import annotations

from typing import Final

HEADER: Final = r"""
template <typename T> struct alignas(sizeof(T) * 8) Eight { T at[8]; };

template <typename T> __device__ inline Eight<T> load8(const T* from) {
  return *reinterpret_cast<const Eight<T>*>(from);
}

template <typename T> __device__ inline float dot8(const Eight<T>& a, const Eight<T>& b) {
  float sum = 0;
#pragma unroll
  for (int e = 0; e < 8; e++) sum += static_cast<float>(a.at[e]) * static_cast<float>(b.at[e]);
  return sum;
}

__device__ inline float warp_sum(float v) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2) v += __shfl_xor_sync(0xffffffff, v, other);
  return v;
}

__device__ inline float block_sum(float v, float* scratch) {
  v = warp_sum(v);
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < blockDim.x / 32; w++) sum += scratch[w];
  return sum;
}

// Eight neighbouring threads share one position of 64 numbers; each keeps a running softmax over its positions.
struct Running {
  float most = -1e30f, sum = 0, acc[8] = {0, 0, 0, 0, 0, 0, 0, 0};

  template <typename T> __device__ void add(float score, const Eight<T>& value) {
    float now = fmaxf(most, score), keep = __expf(most - now), weight = __expf(score - now);
    sum = sum * keep + weight;
#pragma unroll
    for (int e = 0; e < 8; e++) acc[e] = acc[e] * keep + weight * static_cast<float>(value.at[e]);
    most = now;
  }

  __device__ void merge(int other) {
    float theirs = __shfl_xor_sync(0xffffffff, most, other), now = fmaxf(most, theirs);
    float keep = __expf(most - now), take = __expf(theirs - now);
    sum = sum * keep + __shfl_xor_sync(0xffffffff, sum, other) * take;
#pragma unroll
    for (int e = 0; e < 8; e++) acc[e] = acc[e] * keep + __shfl_xor_sync(0xffffffff, acc[e], other) * take;
    most = now;
  }
};

__device__ inline float over_eight(float v) {
  v += __shfl_xor_sync(0xffffffff, v, 1);
  v += __shfl_xor_sync(0xffffffff, v, 2);
  return v + __shfl_xor_sync(0xffffffff, v, 4);
}

// Larger floats give larger numbers.
__device__ inline unsigned ordered(float v) {
  unsigned bits = __float_as_uint(v);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// out[r] = act(rows[r] W^T) + residual[r]: a warp makes PER outputs of all rows at once, so weights are read once.
template <typename T, int ROWS, int IN, int OUT, int PER, bool GELU, bool RESIDUAL>
__device__ inline void products(const T* rows, const T* weight, const T* residual, T* out) {
  const int lane = threadIdx.x % 32, warps = blockDim.x / 32;
  for (int o = (blockIdx.x * warps + threadIdx.x / 32) * PER; o < OUT; o += gridDim.x * warps * PER) {
    float acc[PER][ROWS];
#pragma unroll
    for (int p = 0; p < PER; p++)
#pragma unroll
      for (int r = 0; r < ROWS; r++) acc[p][r] = 0;
#pragma unroll 4
    for (int i = lane * 8; i < IN; i += 256) {
      Eight<T> w[PER];
#pragma unroll
      for (int p = 0; p < PER; p++) w[p] = load8(weight + static_cast<size_t>(o + p) * IN + i);
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        Eight<T> x = load8(rows + r * IN + i);
#pragma unroll
        for (int p = 0; p < PER; p++) acc[p][r] += dot8(w[p], x);
      }
    }
#pragma unroll
    for (int p = 0; p < PER; p++)
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        float v = warp_sum(acc[p][r]);
        if (GELU) v = 0.5f * v * (1.0f + erff(v * 0.70710678f));
        if (RESIDUAL) v += static_cast<float>(residual[r * OUT + o + p]);
        if (lane == 0) out[r * OUT + o + p] = static_cast<T>(v);
      }
  }
}
"""

PROJECT: Final = r"""
  __shared__ alignas(16) T rows[ROWS * IN];
  __shared__ float scratch[32];
  for (int i = threadIdx.x * 8; i < ROWS * IN; i += blockDim.x * 8)
    *reinterpret_cast<Eight<T>*>(rows + i) = load8(x + i);
  __syncthreads();
  if (NORM) {
    for (int r = 0; r < ROWS; r++) {
      float sum = 0, squares = 0;
      for (int i = threadIdx.x; i < IN; i += blockDim.x) sum += static_cast<float>(rows[r * IN + i]);
      const float mean = block_sum(sum, scratch) / IN;
      for (int i = threadIdx.x; i < IN; i += blockDim.x) {
        const float d = static_cast<float>(rows[r * IN + i]) - mean;
        squares += d * d;
      }
      const float scale = rsqrtf(block_sum(squares, scratch) / IN + 1e-5f);
      for (int i = threadIdx.x; i < IN; i += blockDim.x) {
        const float v = (static_cast<float>(rows[r * IN + i]) - mean) * scale;
        rows[r * IN + i] = static_cast<T>(v * static_cast<float>(gamma[i]) + static_cast<float>(beta[i]));
      }
    }
    __syncthreads();
  }
  products<T, ROWS, IN, OUT, PER, GELU, RESIDUAL>(rows, weight, residual, out);
"""

ATTEND: Final = r"""
  constexpr int WIDTH = HEADS * 64, UNROLL = 4;
  const int row = blockIdx.x / HEADS, head = blockIdx.x % HEADS, length = clock[0], room = sizes[1];
  const int group = threadIdx.x / 8, part = threadIdx.x % 8 * 8, groups = blockDim.x / 8;
  const T* query = qkv + static_cast<size_t>(row) * 3 * WIDTH + head * 64 + part;
  const Eight<T> q = load8(query), k_now = load8(query + WIDTH), v_now = load8(query + 2 * WIDTH);
  const size_t slab = (static_cast<size_t>(row) * HEADS + head) * room * 64 + part;
  // MLX sees the cache as read only. It is written in place all the same: the next reader depends on this kernel's
  // output, and nobody else holds the buffer.
  if (group == 0) {
    *reinterpret_cast<Eight<T>*>(const_cast<T*>(keys) + slab + static_cast<size_t>(length) * 64) = k_now;
    *reinterpret_cast<Eight<T>*>(const_cast<T*>(values) + slab + static_cast<size_t>(length) * 64) = v_now;
  }
  Running mine;
  for (int first = 0; first < length; first += groups * UNROLL) {
    Eight<T> k[UNROLL], v[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {
      const int t = first + u * groups + group;
      if (t < length) {
        k[u] = load8(keys + slab + static_cast<size_t>(t) * 64);
        v[u] = load8(values + slab + static_cast<size_t>(t) * 64);
      } else {
        k[u] = k_now, v[u] = v_now;
      }
    }
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {
      const float score = over_eight(dot8(q, k[u])) * 0.125f;
      if (first + u * groups + group < length) mine.add(score, v[u]);
    }
  }
  const float score = over_eight(dot8(q, k_now)) * 0.125f;
  if (group == 0) mine.add(score, v_now);
  mine.merge(8);
  mine.merge(16);
  __shared__ float most[32], sum[32], acc[32][64];
  const int warp = threadIdx.x / 32;
  if (threadIdx.x % 32 < 8) {
    if (part == 0) most[warp] = mine.most, sum[warp] = mine.sum;
#pragma unroll
    for (int e = 0; e < 8; e++) acc[warp][part + e] = mine.acc[e];
  }
  __syncthreads();
  if (threadIdx.x < 64) {
    float top = -1e30f, all = 0, value = 0;
    for (int w = 0; w < blockDim.x / 32; w++) top = fmaxf(top, most[w]);
    for (int w = 0; w < blockDim.x / 32; w++) {
      const float weight = __expf(most[w] - top);
      all += sum[w] * weight;
      value += acc[w][threadIdx.x] * weight;
    }
    out[static_cast<size_t>(row) * WIDTH + head * 64 + threadIdx.x] = static_cast<T>(value / all);
  }
"""

CROSS: Final = r"""
  constexpr int WIDTH = HEADS * 64;
  __shared__ alignas(16) T rows[ROWS * WIDTH];
  const int lane = threadIdx.x % 32, group = lane / 8, part = lane % 8 * 8;
  for (int pair = threadIdx.x / 32; pair < ROWS * HEADS; pair += blockDim.x / 32) {
    const int row = pair / HEADS;
    const Eight<T> q = load8(queries + static_cast<size_t>(pair) * 64 + part);
    const size_t slab = static_cast<size_t>(pair) * ROOM * 64 + part;
    const int length = lengths[row];
    Running mine;
    for (int first = 0; first < length; first += 4) {
      const int t = min(first + group, length - 1);
      const Eight<T> k = load8(keys + slab + static_cast<size_t>(t) * 64);
      const Eight<T> v = load8(values + slab + static_cast<size_t>(t) * 64);
      const float score = over_eight(dot8(q, k)) * 0.125f;
      if (first + group < length) mine.add(score, v);
    }
    mine.merge(8);
    mine.merge(16);
    if (group == 0)
#pragma unroll
      for (int e = 0; e < 8; e++) rows[pair * 64 + part + e] = static_cast<T>(mine.acc[e] / mine.sum);
  }
  __syncthreads();
  products<T, ROWS, WIDTH, WIDTH, PER, false, true>(rows, weight, x, out);
  // Rows without text take nothing from it.
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (REPEATS - 1) * ROWS * WIDTH; i += gridDim.x * blockDim.x)
    out[ROWS * WIDTH + i] = x[ROWS * WIDTH + i];
"""

EMBED: Final = r"""
  const int i = blockIdx.x * blockDim.x + threadIdx.x, clips = sizes[0];
  if (i < clips * REPEATS * WIDTH) {
    const int row = i / WIDTH % clips, place = i % WIDTH;
    float sum = 0;
    for (int k = 0; k < BOOKS; k++)
      sum += static_cast<float>(table[(static_cast<size_t>(k) * ENTRIES + tokens[row * BOOKS + k]) * WIDTH + place]);
    sum += static_cast<float>(positions[static_cast<size_t>(clock[0]) * WIDTH + place]);
    out[i] = static_cast<T>(sum);
  }
"""

SAMPLE: Final = r"""
  const int clip = blockIdx.x / BOOKS, book = blockIdx.x % BOOKS, clips = sizes[0];
  __shared__ float scores[VOCABULARY];
  __shared__ unsigned bins[256], found[2];
  __shared__ float best[32];
  __shared__ int where[32];
  const size_t line = (static_cast<size_t>(clip) * BOOKS + book) * VOCABULARY;
  const size_t without = static_cast<size_t>(clips) * BOOKS * VOCABULARY;
  for (int v = threadIdx.x; v < VOCABULARY; v += blockDim.x) {
    float score = static_cast<float>(logits[line + v]);
    if (GUIDED) {
      const float plain = static_cast<float>(logits[line + without + v]);
      score = plain + settings[0] * (score - plain);
    }
    scores[v] = GREEDY ? score : score / settings[1];
  }
  __syncthreads();
  unsigned threshold = 0;
  if (!GREEDY && TOP_K > 0 && TOP_K < VOCABULARY) {
    // The k-th largest, eight bits at a time.
    unsigned wanted = TOP_K;
    for (int shift = 24; shift >= 0; shift -= 8) {
      for (int i = threadIdx.x; i < 256; i += blockDim.x) bins[i] = 0;
      __syncthreads();
      for (int v = threadIdx.x; v < VOCABULARY; v += blockDim.x) {
        const unsigned key = ordered(scores[v]);
        if (shift == 24 || key >> (shift + 8) == threshold >> (shift + 8)) atomicAdd(&bins[key >> shift & 255], 1);
      }
      __syncthreads();
      if (threadIdx.x < 32) {
        // Lane 0 holds the eight highest bins; `above` is what lies over a lane's own.
        unsigned own = 0;
        for (int i = 0; i < 8; i++) own += bins[255 - (threadIdx.x * 8 + i)];
        unsigned upto = own;
        for (int d = 1; d < 32; d *= 2) {
          const unsigned lower = __shfl_up_sync(0xffffffff, upto, d);
          if (threadIdx.x >= d) upto += lower;
        }
        unsigned above = upto - own;
        if (above < wanted && wanted <= upto) {
          int bin = 255 - threadIdx.x * 8;
          while (above + bins[bin] < wanted) above += bins[bin--];
          found[0] = bin, found[1] = wanted - above;
        }
      }
      __syncthreads();
      threshold |= found[0] << shift;
      wanted = found[1];
      __syncthreads();
    }
  }
  float most = -3.4e38f;
  int at = VOCABULARY;
  const int start = clock[0] - sizes[3];
  const float* gumbel = noise + (static_cast<size_t>(start) * clips * BOOKS) * VOCABULARY + line;
  for (int v = threadIdx.x; v < VOCABULARY; v += blockDim.x) {
    if (ordered(scores[v]) < threshold) continue;
    const float score = GREEDY ? scores[v] : scores[v] + gumbel[v];
    if (score > most) most = score, at = v;
  }
  for (int other = 16; other > 0; other /= 2) {
    const float theirs = __shfl_xor_sync(0xffffffff, most, other);
    const int place = __shfl_xor_sync(0xffffffff, at, other);
    if (theirs > most || (theirs == most && place < at)) most = theirs, at = place;
  }
  if (threadIdx.x % 32 == 0) best[threadIdx.x / 32] = most, where[threadIdx.x / 32] = at;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < blockDim.x / 32; w++)
      if (best[w] > most || (best[w] == most && where[w] < at)) most = best[w], at = where[w];
    const int given = known[(static_cast<size_t>(clock[0] - sizes[2]) * clips + clip) * BOOKS + book];
    tokens[blockIdx.x] = given >= 0 ? given : at;
    if (blockIdx.x == 0) next[0] = clock[0] + 1;
  }
"""
