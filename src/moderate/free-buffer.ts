const { port1: nobody, port2: other } = new MessageChannel();
nobody.close();
other.close();

/**
 * Frees the memory of bytes that nobody reads any more; they are empty afterwards.
 *
 * Left to V8 it is freed with the next collection of the whole heap, and counts as growth until then: a few dozen photos are
 * as much as a small heap may grow, so that collections would stop the line again and again. What was transferred to a port
 * that is closed is freed at once.
 *
 * @param bytes left as they are where they are a part of something larger, or memory that Node.js does not let go, such as
 *   that of sharp.
 */
export function freeBuffer(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength !== bytes.byteLength) return;
  try {
    nobody.postMessage(null, [buffer]);
  } catch (thrown) {
    // Node.js 20 only does nothing
    if (!(thrown instanceof DOMException && thrown.name === "DataCloneError")) throw thrown;
  }
}
