"""What `make docs` does around the builder of the site: copies of the pages, and a last look.

CommonMark's own reader (markdown-it-py passes its specification's tests) is the measure for lists.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import site
from tools.template import ROOT


def test_what_belongs_to_an_item_gets_four_spaces() -> None:
    page = (
        "1. One\n\n   ```sh\n   make\n     deep\n   ```\n\n2. Two\n   goes on\n\nEnd\n   as it is\n"
    )
    assert site.for_python_markdown(page) == (
        "1. One\n\n    ```sh\n    make\n      deep\n    ```\n\n2. Two\n    goes on\n\n"
        "End\n   as it is\n"
    )
    assert site.for_python_markdown("10. Ten\n\n    Part\n") == "10. Ten\n\n    Part\n"
    assert site.for_python_markdown("- a\n  - b\n") == "- a\n    - b\n"


def test_a_list_gets_the_empty_line_without_which_it_would_be_a_sentence() -> None:
    assert site.for_python_markdown("Words:\n- a\n- b\n") == "Words:\n\n- a\n- b\n"
    assert site.for_python_markdown("1. a\n\n   b\n2. c\n") == "1. a\n\n    b\n\n2. c\n"
    assert site.for_python_markdown("- a\n- b\nrest\n- c\n") == "- a\n- b\nrest\n- c\n"


def test_an_example_stays_as_it_is() -> None:
    page = "```text\n- a\n1. b\n   c\n```\n"
    assert site.for_python_markdown(page) == page


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://unpkg.com/x"></script>',
        "<script async src=//cdn.example/x></script>",
        '<link href="https://fonts.example/css" rel="stylesheet">',
        '<link rel="preconnect" href="https://fonts.example">',
        "@font-face{src:url(https://fonts.example/a.woff2)}",
        '<img alt="" src="http://pictures.example/a.png">',
    ],
)
def test_what_is_loaded_from_elsewhere_is_found(html: str) -> None:
    assert len(list(site.foreign(html))) == 1


def test_a_link_to_follow_is_not_loaded() -> None:
    html = (
        '<a href="https://calculator.aws">costs</a> <script src="assets/a.js"></script>'
        '<link rel="canonical" href="https://docs.example/">'
        "url(data:image/svg+xml;charset=utf-8,<svg/>)"
    )
    assert list(site.foreign(html)) == []


def test_a_folder_without_a_site_is_no_good_site(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no site"):
        site.check(tmp_path)


def test_a_page_that_lost_its_list_is_named(tmp_path: Path) -> None:
    for page in site.pages():
        name = page.relative_to(ROOT)
        built = tmp_path / name.parent / ("" if name.stem in ("README", "index") else name.stem)
        built.mkdir(parents=True, exist_ok=True)
        (built / "index.html").write_text("<article></article>", encoding="utf-8")
    assert any(one.startswith("docs/connect.md: ") for one in site.check(tmp_path))


def test_the_site_is_built_so_that_a_warning_fails() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "build --strict\n" in makefile, "with --quiet MkDocs counts no warning"
