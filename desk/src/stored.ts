/** A string under a name in this browser. Where storage is forbidden or full, it lasts as long as the page. */
export function stored(name: string): { read(): string | null; write(value: string): void } {
  let memory: string | null = null;
  return {
    read() {
      try {
        return localStorage.getItem(name) ?? memory;
      } catch {
        return memory;
      }
    },
    write(value) {
      memory = value;
      try {
        localStorage.setItem(name, value);
      } catch {
        // `memory` has it
      }
    },
  };
}
