import type { Command } from "./command.ts";
export const calibrate: Command = { summary: "", help: "", options: {}, run: async () => 0 };
