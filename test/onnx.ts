/** A model graph that gives every photo the same answer, for input of any side: real ONNX, of a few hundred bytes. */
export function constantGraph(side: number, category: readonly number[], human: number): Buffer {
  const graph = [
    node("Cast", ["photos"], "floats", attribute("to", 2, varint(3, FLOAT))),
    node("ReduceMean", ["floats"], "mean", ints("axes", [1, 2, 3]), attribute("keepdims", 2, varint(3, 0))),
    node("Mul", ["mean", "zero"], "zeros"),
    node("Add", ["zeros", "human_is"], "human"),
    node("Reshape", ["zeros", "column"], "zeros_column"),
    node("Add", ["zeros_column", "category_is"], "category"),
    bytes(2, "constant"),
    tensor("zero", FLOAT, [], Float32Array.of(0)),
    tensor("human_is", FLOAT, [], Float32Array.of(human)),
    tensor("category_is", FLOAT, [1, category.length], Float32Array.from(category)),
    tensor("column", INT64, [2], BigInt64Array.of(-1n, 1n)),
    bytes(11, value("photos", UINT8, ["n", side, side, 3])),
    bytes(12, value("category", FLOAT, ["n", category.length])),
    bytes(12, value("human", FLOAT, ["n"])),
  ];
  const opset = bytes(8, bytes(1, ""), varint(2, 13));
  return Buffer.concat([varint(1, 8), bytes(7, ...graph), opset]);
}

/**
 * A model graph whose answers a test can paint. What is red is food, green ambience, blue menu and dark other, and it
 * is as sure as the colour is strong; white is human, and human_map says where, in cells of 8 x 8 pixels. Of `bias` more
 * is added to the score of food, so that another model can be made that errs.
 */
export function colourGraph(side: number, bias = 0): Buffer {
  const cells = side / 8;
  const byColour = Float32Array.of(8, 0, 0, 0, 0, 8, 0, 0, 0, 0, 8, 0);
  const graph = [
    node("Cast", ["photos"], "floats", attribute("to", 2, varint(3, FLOAT))),
    node("Mul", ["floats", "scale"], "colours"),
    node("ReduceMean", ["colours"], "mean", ints("axes", [1, 2]), attribute("keepdims", 2, varint(3, 0))),
    node("MatMul", ["mean", "weights"], "weighed"),
    node("Add", ["weighed", "biases"], "logits"),
    node("Softmax", ["logits"], "category", attribute("axis", 2, varint(3, 1))),
    node("ReduceMin", ["colours"], "white", ints("axes", [3]), attribute("keepdims", 2, varint(3, 1))),
    node("Transpose", ["white"], "plane", ints("perm", [0, 3, 1, 2])),
    node("AveragePool", ["plane"], "cells", ints("kernel_shape", [8, 8]), ints("strides", [8, 8])),
    node("Squeeze", ["cells", "one"], "human_map"),
    node("ReduceMax", ["human_map"], "human", ints("axes", [1, 2]), attribute("keepdims", 2, varint(3, 0))),
    bytes(2, "colours"),
    tensor("scale", FLOAT, [], Float32Array.of(1 / 255)),
    tensor("weights", FLOAT, [3, 4], byColour),
    tensor("biases", FLOAT, [4], Float32Array.of(bias, 0, 0, 2)),
    tensor("one", INT64, [1], BigInt64Array.of(1n)),
    bytes(11, value("photos", UINT8, ["n", side, side, 3])),
    bytes(12, value("category", FLOAT, ["n", 4])),
    bytes(12, value("human", FLOAT, ["n"])),
    bytes(12, value("human_map", FLOAT, ["n", cells, cells])),
  ];
  const opset = bytes(8, bytes(1, ""), varint(2, 13));
  return Buffer.concat([varint(1, 8), bytes(7, ...graph), opset]);
}

function node(operator: string, inputs: string[], output: string, ...attributes: Buffer[]): Buffer {
  return bytes(
    1,
    ...inputs.map((input) => bytes(1, input)),
    bytes(2, output),
    bytes(4, operator),
    ...attributes,
  );
}

/** Of the type 2, INT, or 7, INTS. */
function attribute(name: string, type: number, ...value: Buffer[]): Buffer {
  return bytes(5, bytes(1, name), ...value, varint(20, type));
}

function ints(name: string, values: number[]): Buffer {
  return attribute(name, 7, ...values.map((each) => varint(8, each)));
}

function tensor(name: string, type: number, dims: number[], data: Float32Array | BigInt64Array): Buffer {
  const raw = Buffer.from(data.buffer);
  return bytes(5, ...dims.map((dim) => varint(1, dim)), varint(2, type), bytes(8, name), bytes(9, raw));
}

function value(name: string, type: number, dims: (string | number)[]): Buffer {
  const shape = dims.map((dim) => bytes(1, typeof dim === "string" ? bytes(2, dim) : varint(1, dim)));
  const tensorType = bytes(1, varint(1, type), bytes(2, ...shape));
  return Buffer.concat([bytes(1, name), bytes(2, tensorType)]);
}

/** A protobuf field that holds text, bytes or other fields. */
function bytes(field: number, ...parts: (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
  return Buffer.concat([number((field << 3) | 2), number(content.length), content]);
}

function varint(field: number, value: number): Buffer {
  return Buffer.concat([number(field << 3), number(value)]);
}

function number(value: number): Buffer {
  const out: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    out.push(left < 128 ? left : (left % 128) | 128);
    if (left < 128) return Buffer.from(out);
  }
}

const FLOAT = 1;
const UINT8 = 2;
const INT64 = 7;
