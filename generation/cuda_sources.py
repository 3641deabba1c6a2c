"""CUDA source of `generation.cuda_kernels`: for each kernel the body of a function that MLX declares."""

from __future__ import annotations

from typing import Final

HEADER: Final = r"""
template <typename T> struct alignas(sizeof(T) * 8) Eight { T at[8]; };

template <typename T> __device__ inline Eight<T> load8(const T* from) {
  return *reinterpret_cast<const Eight<T>*>(from);
}

// What another block wrote in this launch: read past this processor's own cache.
template <typename T> __device__ inline Eight<T> fresh8(const T* from) {
  const uint4 raw = __ldcg(reinterpret_cast<const uint4*>(from));
  return *reinterpret_cast<const Eight<T>*>(&raw);
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

// What the warps of a block found of one attention head, to be joined.
struct Found { float most[32], sum[32], acc[32][64]; };

// out (64) = attention of one query over `length` positions and over what `mine` holds already; all threads of a block.
template <typename T, int UNROLL>
__device__ inline void attention(
    const Eight<T>& q, const T* keys, const T* values, int length, Running mine, Found& found, T* out) {
  const int group = threadIdx.x / 8, part = threadIdx.x % 8 * 8, groups = blockDim.x / 8;
  for (int first = 0; first < length; first += groups * UNROLL) {
    Eight<T> k[UNROLL], v[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {
      const int t = first + u * groups + group;
      k[u] = t < length ? load8(keys + static_cast<size_t>(t) * 64 + part) : q;
      v[u] = t < length ? load8(values + static_cast<size_t>(t) * 64 + part) : q;
    }
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {
      const float score = over_eight(dot8(q, k[u])) * 0.125f;
      if (first + u * groups + group < length) mine.add(score, v[u]);
    }
  }
  mine.merge(8);
  mine.merge(16);
  const int warp = threadIdx.x / 32;
  if (threadIdx.x % 32 < 8) {
    if (part == 0) found.most[warp] = mine.most, found.sum[warp] = mine.sum;
#pragma unroll
    for (int e = 0; e < 8; e++) found.acc[warp][part + e] = mine.acc[e];
  }
  __syncthreads();
  if (threadIdx.x < 64) {
    float top = -1e30f, all = 0, value = 0;
    for (int w = 0; w < blockDim.x / 32; w++) top = fmaxf(top, found.most[w]);
    for (int w = 0; w < blockDim.x / 32; w++) {
      const float weight = __expf(found.most[w] - top);
      all += found.sum[w] * weight;
      value += found.acc[w][threadIdx.x] * weight;
    }
    out[threadIdx.x] = static_cast<T>(value / all);
  }
}

// Self-attention of one row's head: `query` is followed by its key and value at steps of `width`, which go into the
// cache. MLX sees the cache as read only. It is written in place all the same: the next reader depends on this kernel's
// output, and nobody else holds the buffer.
template <typename T, int UNROLL>
__device__ inline void attend_and_keep(
    const T* query, int width, const T* keys, const T* values, int length, Found& found, T* out) {
  const int part = threadIdx.x % 8 * 8;
  const Eight<T> q = fresh8(query + part), k = fresh8(query + width + part), v = fresh8(query + 2 * width + part);
  Running mine;
  const float score = over_eight(dot8(q, k)) * 0.125f;
  if (threadIdx.x < 8) {
    *reinterpret_cast<Eight<T>*>(const_cast<T*>(keys) + static_cast<size_t>(length) * 64 + part) = k;
    *reinterpret_cast<Eight<T>*>(const_cast<T*>(values) + static_cast<size_t>(length) * 64 + part) = v;
    mine.add(score, v);
  }
  attention<T, UNROLL>(q, keys, values, length, mine, found, out);
}
"""

ATTEND: Final = r"""
  __shared__ Found found;
  const int row = blockIdx.x / HEADS, head = blockIdx.x % HEADS;
  const size_t slab = static_cast<size_t>(blockIdx.x) * sizes[1] * 64;
  attend_and_keep<T, 4>(
      qkv + static_cast<size_t>(row) * 3 * HEADS * 64 + head * 64, HEADS * 64, keys + slab, values + slab, clock[0],
      found, out + static_cast<size_t>(blockIdx.x) * 64);
"""

PROCESSORS: Final = r"""
  unsigned processor;
  asm("mov.u32 %0, %%smid;" : "=r"(processor));
  if (threadIdx.x == 0 && processor < 1024) seen[processor] = 1;
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
    // Nothing is larger than anything where the logits are no numbers.
    tokens[blockIdx.x] = given >= 0 ? given : at < VOCABULARY ? at : 0;
    if (blockIdx.x == 0) next[0] = clock[0] + 1;
  }
"""
