/** How much of a kernel's own code ran. */
export interface KernelCode {
  readonly kernel: string;
}
