"""Run every benchmark and print its figures; the options are those of `benchmarks.fanout`."""

from benchmarks import fanout, page, scrape, tick, write
from benchmarks.children import BenchmarkError

if __name__ == "__main__":
    arguments = fanout.parse_arguments()
    tick.main()
    scrape.main()
    write.main([])
    try:
        fanout.run(arguments)
        # Last: the fan-out begins the results' file anew.
        page.main(["--quick", "--json", str(arguments.json)])
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None
