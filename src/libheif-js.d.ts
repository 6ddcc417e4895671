declare module "libheif-js/wasm-bundle.js" {
  /** One image of a file, which is not decoded yet. */
  interface HeifImage {
    is_primary(): boolean;
    get_width(): number;
    get_height(): number;
    /** Fills `data` with RGBA, row by row, and tells `done`: null where it could not. */
    display(into: { data: Uint8ClampedArray }, done: (filled: object | null) => void): void;
    free(): void;
  }
  class HeifDecoder {
    decoder: { delete(): void } | null;
    /** The images that are no parts of others; one that cannot be read is left out. */
    decode(bytes: Uint8Array): HeifImage[];
  }
  const libheif: { HeifDecoder: typeof HeifDecoder };
  export default libheif;
}
