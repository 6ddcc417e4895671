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
  export interface DecodedImage {
    /** Where in libheif's memory it is. */
    $$: { ptr: number };
  }
  interface Decoded {
    image: DecodedImage;
    channels: [Plane];
  }
  type Subcode =
    | "heif_suberror_Unknown_NCLX_color_primaries"
    | "heif_suberror_Unknown_NCLX_transfer_characteristics"
    | "heif_suberror_Unknown_NCLX_matrix_coefficients"
    | "heif_suberror_NCLX_colr_VUI_mismatch";
  const libheif: {
    HeifDecoder: typeof HeifDecoder;
    heif_colorspace: { heif_colorspace_RGB: object };
    heif_chroma: { heif_chroma_interleaved_RGBA: object };
    /** Interleaved, it has one plane. */
    heif_js_decode_image2(handle: object, colorspace: object, chroma: object): Decoded | { message: string };
    heif_image_release(image: object): void;
    heif_suberror_code: Record<Subcode, { value: number }>;
    /** How many there are; or writes so many, each as three numbers of 32 bits. */
    _heif_image_get_decoding_warnings(image: number, first: number, at: number, most: number): number;
    _malloc(bytes: number): number;
    _free(at: number): void;
    /** Its memory; another one once that has grown. */
    HEAPU32: Uint32Array;
  };
  export default libheif;
}
