/** Of a marker, such as e1 of EXIF. */
export function jpegSegment(marker: number, data: Uint8Array | string): Buffer {
  const body = typeof data === "string" ? Buffer.from(data, "latin1") : data;
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(body.length + 2, 2);
  return Buffer.concat([head, body]);
}

/** Of a profile, or a part of it. */
export const iccSegment = (icc: Buffer, number = 1, count = 1): Buffer =>
  jpegSegment(0xe2, Buffer.concat([Buffer.from("ICC_PROFILE\0"), Buffer.from([number, count]), icc]));

/** With segments before all that it has. */
export function withSegments(jpeg: Buffer, ...segments: Buffer[]): Buffer {
  return Buffer.concat([jpeg.subarray(0, 2), ...segments, jpeg.subarray(2)]);
}
