"""Run every benchmark and print its figures."""

from benchmarks import stall, tick

if __name__ == "__main__":
    tick.main()
    stall.main()
