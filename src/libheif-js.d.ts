declare module "libheif-js/wasm-bundle.js" {
  /** One image of a file, which is not decoded yet. */
  export interface HeifImage {
    handle: object;
    is_primary(): boolean;
    /** As the file tells it, once it is cropped and turned. */
    get_width(): number;
    get_height(): number;
    free(): void;
  }
  class HeifDecoder {
    decoder: { delete(): void } | null;
    /** The images that are no parts of others; one that cannot be read is left out. */
    decode(bytes: Uint8Array): HeifImage[];
  }
  /** Rows of pixels, each of `stride` bytes, in memory that is libheif's own. */
  interface Plane {
    width: number;
    height: number;
    stride: number;
    data: Uint8Array;
  }
  interface Decoded {
    image: object;
    channels: [Plane];
  }
  const libheif: {
    HeifDecoder: typeof HeifDecoder;
    heif_colorspace: { heif_colorspace_RGB: object };
    heif_chroma: { heif_chroma_interleaved_RGBA: object };
    /** Interleaved, it has one plane. */
    heif_js_decode_image2(handle: object, colorspace: object, chroma: object): Decoded | { message: string };
    heif_image_release(image: object): void;
  };
  export default libheif;
}
