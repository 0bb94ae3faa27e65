"""Benchmarks: ratios against a reference in the same run. `make bench` runs the first three,
and a short form of the fourth.

- `tick`: what a tick costs without viewers;
- `write`: what a viewer's write costs, against a bare `socket.send`;
- `fanout`: the table: dashboard, reference and floor under the same load, on `measure` (one server,
  one cell), `servers` and `floor.c` (what is measured), `scoreboard` (what is polled), `load.c` (the
  viewers) and `children` (processes);
- `page`: what the page costs in a browser, on `feed` (a page, fed from the simulator);
- `peer`: mod_wsgi-telemetry's server beside ours; `site`: a site on Apache with the sidecar and without;
- `soak`: memory over an hour of ticks.
"""
