"""The report: a page that anyone can read, and the same as JSON."""

from hvrt_diffuser.report.compose import compose
from hvrt_diffuser.report.page import Picture, render_page
from hvrt_diffuser.report.pictures import draw_pictures
from hvrt_diffuser.report.plots import (
    plot_fd,
    plot_frontier,
    plot_image_rows,
    plot_marginals,
    set_name,
)

__all__ = [
    "Picture",
    "compose",
    "draw_pictures",
    "plot_fd",
    "plot_frontier",
    "plot_image_rows",
    "plot_marginals",
    "render_page",
    "set_name",
]
