// Numbers that Python has packed as text: of the sliders, which send curves.
const TOP = 65534; // as in packing.py: one more marks an orbit that has diverged

// Bytes that Python has packed as text.
export async function unpack(text) {
  const packed = new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]);
  return new Uint8Array(await new Response(packed.stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

// The numbers of all orbits, from the low bytes and the high bytes of their differences.
export function joined(bytes, steps) {
  const size = bytes.length / 2, numbers = new Uint16Array(size);
  for (let i = 0; i < size; i++) numbers[i] = (i % steps && numbers[i - 1]) + bytes[i] + 256 * bytes[size + i];
  return numbers;
}
