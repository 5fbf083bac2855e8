"""The page in a real browser: filters, search, keys, colours, a phone's width, and what axe-core says of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from negmine.cli.app import app
from negmine.outputs.report.run import write_report
from negmine.outputs.report.settings import ReportSettings
from typer.testing import CliRunner

from scripts.screenshots import find_browser, open_browser, resize, settled
from tests.pipeline.report.conftest import ATTACK, write_run

pytestmark = [pytest.mark.full, pytest.mark.skipif(find_browser() is None, reason="no chromium and chromedriver here")]

AXE = Path(sys.prefix) / "node_modules" / "axe-core" / "axe.min.js"
"""Where ``make test-all`` puts it."""


@pytest.fixture(scope="module")
def pages(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of a page of photos with two runs, one of figures, and one of parsed captions with their audit."""
    pytest.importorskip("selenium")
    folder = tmp_path_factory.mktemp("pages")
    runs = (
        write_run(folder / "<i>a", "clip", 0.5, {"negate": 0.6}),
        write_run(folder / "b", "ahnpl", 0.7, {"negate": 0.8}),
    )
    audited = CliRunner().invoke(app, ["audit", "--work", str(made / "parsed"), "--attackers", "word"])
    assert audited.exit_code == 0, audited.output
    for name, with_runs in (("mined", runs), ("figures", ()), ("parsed", ())):
        write_report(ReportSettings(made / name, runs=with_runs), folder / f"{name}.html")
    return {name: (folder / f"{name}.html").as_uri() for name in ("mined", "figures", "parsed")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as opened:
        yield opened
        problems = [line for line in opened.get_log("browser") if line["level"] == "SEVERE"]
        assert not problems


def show(browser: Any, address: str) -> None:
    resize(browser, 1280, 1000)
    browser.get("about:blank")
    browser.get(address)
    settled(browser)


def all_of(browser: Any, selector: str) -> list[Any]:
    """Elements that are seen."""
    return [one for one in browser.find_elements("css selector", selector) if one.is_displayed()]


def shown(browser: Any) -> tuple[int, int]:
    """Pairs and negatives, as the page counts them."""
    told = browser.find_element("id", "count").text.replace(",", "")
    pairs, negatives = map(int, re.findall(r"\d+", told))
    return pairs, negatives


def press(browser: Any, keys: str) -> None:
    browser.switch_to.active_element.send_keys(keys)


def test_a_kind_is_filtered(browser: Any, pages: dict[str, str]) -> None:
    show(browser, pages["parsed"])
    everything = shown(browser)
    assert everything[0] == len(all_of(browser, ".card")) == 200
    (chip,) = all_of(browser, ".chip[data-kind=negate]")
    chip.click()
    pairs, negatives = shown(browser)
    kinds = {one.text for one in all_of(browser, ".card .kind")}
    assert kinds == {"negate"}
    assert (pairs, negatives) == (len(all_of(browser, ".card")), len(all_of(browser, ".card .kind")))
    assert 0 < pairs < everything[0]
    (guards,) = all_of(browser, ".guards")
    assert guards.text.startswith("negate: ")
    (other,) = all_of(browser, ".chip[data-kind=swap_object]")
    other.click()
    assert {one.text for one in all_of(browser, ".card .kind")} == {"negate", "swap_object"}
    chip.click()
    other.click()
    assert shown(browser) == everything


def test_a_caption_that_looks_like_a_script_is_found_as_text(browser: Any, pages: dict[str, str]) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    show(browser, pages["mined"])
    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert.text
    browser.find_element("id", "search").send_keys("<SCRIPT>alert horse")
    (card,) = all_of(browser, ".card")
    assert card.find_element("css selector", ".caption").text == ATTACK
    assert [one.text for one in card.find_elements("css selector", ".negatives .t")] == [f"no {ATTACK}"] * 2
    assert shown(browser) == (1, 2)
    browser.find_element("id", "search").send_keys("nothing has this")
    assert all_of(browser, ".card") == []
    (everything,) = all_of(browser, "#clear")
    everything.click()
    assert len(all_of(browser, ".card")) > 50


def test_edits_are_marked_and_what_was_replaced_can_be_hidden(browser: Any, pages: dict[str, str]) -> None:
    show(browser, pages["figures"])
    assert all_of(browser, ".card ins") and all_of(browser, ".card del")
    browser.find_element("id", "old").click()
    assert all_of(browser, ".card ins") and not all_of(browser, ".card del")


def test_keys(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver.common.keys import Keys

    show(browser, pages["mined"])
    press(browser, "/")
    assert browser.switch_to.active_element.get_attribute("id") == "search"
    press(browser, "dog j")
    assert browser.find_element("id", "search").get_attribute("value") == "dog j"
    press(browser, Keys.ESCAPE)
    assert browser.find_element("id", "search").get_attribute("value") == ""
    cards = [one.get_attribute("id") for one in all_of(browser, ".card")]
    for key, place in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        press(browser, key)
        assert browser.switch_to.active_element.get_attribute("id") == cards[place]
    top = browser.switch_to.active_element.rect["y"] - browser.execute_script("return scrollY")
    assert 0 < top < 300
    press(browser, "2")
    assert [one.get_attribute("data-view") for one in all_of(browser, "main > section")] == ["numbers"]
    assert browser.execute_script("return scrollY") == 0
    press(browser, "?")
    assert browser.find_element("id", "keys").is_displayed()
    press(browser, Keys.ESCAPE)
    assert not browser.find_element("id", "keys").is_displayed()


def test_light_and_dark(browser: Any, pages: dict[str, str]) -> None:
    show(browser, pages["mined"])
    background = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(background)
    colours = []
    for _ in range(3):
        press(browser, "t")
        colours.append((browser.find_element("id", "theme").text.split()[-1], browser.execute_script(background)))
    assert [name for name, _ in colours] == ["light", "dark", "auto"]
    assert colours[0][1] == colours[2][1] == light == "rgb(255, 255, 255)"
    assert colours[1][1] != light
    with open_browser(dark=True) as other:
        other.get(pages["mined"])
        assert other.execute_script(background) == colours[1][1]


@pytest.mark.parametrize("page", ["mined", "figures", "parsed"])
def test_a_phone_scrolls_one_way_only(browser: Any, pages: dict[str, str], page: str) -> None:
    show(browser, pages[page])
    resize(browser, 360, 740)
    for view in views(browser):
        browser.execute_script("location.hash = arguments[0]", view)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360, view
    browser.execute_script("location.hash = 'examples'")
    settled(browser)
    photo = browser.find_element("css selector", ".photo img").rect
    assert photo["width"] > 250 and photo["height"] > 100


def test_images_are_seen_when_they_come_near(browser: Any, pages: dict[str, str]) -> None:
    show(browser, pages["figures"])
    first, last = (browser.find_elements("css selector", ".card img")[place] for place in (0, -1))
    width = "return arguments[0].naturalWidth"
    assert browser.execute_script(width, first) > 1
    assert browser.execute_script(width, last) == 1
    browser.execute_script("arguments[0].scrollIntoView()", last)
    settled(browser)
    assert browser.execute_script(width, last) > 1


def test_curves_tell_their_values(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver import ActionChains

    show(browser, pages["mined"] + "#training")
    accuracy = browser.find_elements("css selector", ".chart svg[data-percent='1']")[0]
    ActionChains(browser).move_to_element(accuracy).perform()
    lines = browser.find_element("id", "hover").text.splitlines()
    assert lines == ["step 1", "<i>a: 50.0 %", "b: 70.0 %"] or lines[1:] == ["<i>a: 50.0 %", "b: 70.0 %"]


def test_an_address_leads_to_its_pair(browser: Any, pages: dict[str, str]) -> None:
    show(browser, pages["mined"])
    key = browser.find_elements("css selector", ".card")[40].get_attribute("id")
    show(browser, pages["mined"] + f"#{key}")
    top = browser.find_element("id", key).rect["y"] - browser.execute_script("return scrollY")
    assert 0 < top < 300


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core here: make test-all installs it if there is npm")
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_that_axe_calls_serious(pages: dict[str, str], dark: bool) -> None:
    run = """const done = arguments[0];
    axe.run(document, {resultTypes: ["violations"]}).then((found) => done(found.violations.map(
      ({id, impact, nodes}) => `${impact} ${id}: ${nodes[0].html.slice(0, 200)}`)))"""
    with open_browser(dark=dark) as browser:
        for page, address in pages.items():
            browser.get(address)
            browser.execute_script(AXE.read_text())
            for view in views(browser):
                browser.execute_script("location.hash = arguments[0]", view)
                settled(browser)
                found = browser.execute_async_script(run)
                assert not [told for told in found if told.startswith(("serious", "critical"))], (page, view)


def views(browser: Any) -> list[str]:
    return [one.get_attribute("data-view") for one in browser.find_elements("css selector", "main > section")]
