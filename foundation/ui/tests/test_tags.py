"""Page parts as they come out of templates."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace as Row

import pytest
from django import forms
from django.template import Context, engines
from django.test import RequestFactory
from django.utils import timezone

from foundation.ui.gallery import SpecimenForm
from foundation.ui.icons import ICONS

HOSTILE = "<script>alert('x')</script>\"'"


def draw(source: str, path: str = "/rows/?show=worse&after=9", **context) -> str:
    request = RequestFactory().get(path)
    return engines["django"].engine.from_string(source).render(Context({"request": request, **context}))


def state(name="now", headline="h", url="/u", action="Go", blocker=""):
    return Row(state=name, headline=headline, url=url, action=action, blocker=blocker)


@pytest.mark.parametrize(
    "source",
    [
        '{% pill "good" x %}', "{% facts rows %}", "{% pairs rows %}", '{% card x note=x %}{{ x }}{% endcard %}',
        "{% empty x x x x %}", "{% how x %}{{ x }}{% endhow %}", '{% dialog "d" x %}{{ x }}{% enddialog %}',
        "{% confirm_button x x title=x text=x confirm=x typed=x field=x %}", "{% post_button x x field=x %}",
        "{% copy x x %}", "{% code x label=x %}", "{% diff x y %}", "{% tabs tabs %}", "{% lineage lineage %}",
        '{% chip x "show" x %}', '{% sort_by x x %}', "{% pagination next=x note=x %}", "{% rail stages step %}",
        "{% rail_dots stages %}", "{% callout x x %}{{ x }}{% endcallout %}", '{% icon "lock" x %}',
        "{% whisker 0 1 0.5 label=x %}", "{% sparkline numbers x %}", "{% shares rows x %}", "{% interval 0 1 0.5 unit=x %}",
        "{% meter 0.5 label=x %}", "{% progress 1 2 x %}", "{% when None x %}", "{% form_errors form %}",
        "{{ form.name.as_field_group }}",
    ],
)  # fmt: skip
def test_strangers_text_stays_text_in_every_part(source):
    class Strange(forms.Form):
        name = forms.CharField(label=HOSTILE, help_text=HOSTILE)

        def clean_name(self):
            raise forms.ValidationError(HOSTILE)

    out = draw(
        source, x=HOSTILE, y=HOSTILE + " more", rows=[(HOSTILE, 1, HOSTILE)], numbers=[1, 2],
        tabs=[(HOSTILE, HOSTILE, True, 1)], lineage=[(HOSTILE, HOSTILE)], form=Strange({"name": HOSTILE}),
        stages=[(Row(title=HOSTILE), state(headline=HOSTILE, url=HOSTILE))],
        step=(Row(title=HOSTILE), state(headline=HOSTILE, action=HOSTILE, blocker=HOSTILE, url=HOSTILE)),
    )  # fmt: skip
    assert "<script>" not in out
    assert "alert('x')" not in out


def test_a_pill_has_a_sign_beside_its_word():
    out = draw('{% pill "bad" "worse" %}')
    assert "<svg" in out and "worse" in out


def test_a_state_of_the_rail_is_said_in_words():
    names = ["done", "now", "next", "warn", "todo", "later"]
    out = draw("{% rail stages %}", stages=[(Row(title=n), state(n)) for n in names])
    for word in ("Done", "Now", "Next", "Needs attention", "To do", "Not yet"):
        assert f">{word}</span>" in out


def test_the_next_step_is_the_one_primary_button_and_says_what_blocks_it():
    out = draw(
        "{% next_step s %}", s=state(headline="Review 37 rows", blocker="12 rows conflict", action="Start")
    )
    assert out.count("btn primary") == 1 and "12 rows conflict" in out and 'href="/u"' in out


def test_a_step_without_a_way_has_no_button():
    assert "btn" not in draw("{% next_step s %}", s=state(url=""))


def test_paging_keeps_the_filters_and_forgets_the_other_cursor():
    out = draw("{% pagination next=12 prev=3 %}")
    assert "/rows/?show=worse&amp;after=12" in out and "/rows/?show=worse&amp;before=3" in out


def test_a_chip_says_when_it_is_on_and_starts_again_at_the_first_page():
    assert 'aria-current="true"' in draw('{% chip "Worse" "show" "worse" %}')
    off = draw('{% chip "All" "show" "" %}')
    assert "aria-current" not in off and 'href="?"' in off


def test_sorting_turns_on_the_second_press():
    assert 'href="?sort=score"' in draw('{% sort_by "Score" "score" %}', "/rows/")
    assert 'href="?sort=-score"' in draw('{% sort_by "Score" "score" %}', "/rows/?sort=score")


def test_a_time_is_relative_and_exact_in_utc():
    out = draw("{% when at %}", at=datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC))
    assert (
        out == '<time datetime="2025-03-04T05:06:07+00:00" title="4 Mar 2025, 05:06:07 UTC">4 Mar 2025</time>'
    )
    assert "just now" in draw("{% when at %}", at=timezone.now())


def test_an_interval_is_said_with_its_n():
    out = draw('{% interval low high mean unit="points" n=218 %}', low=0.032, high=0.161, mean=0.096)
    assert out == '<span class="interval"><b>+9.6 pts</b> <span>(3.2 to 16.1, n = 218)</span></span>'
    assert "no interval" in draw("{% interval None None 0.5 %}")


def test_a_question_is_a_form_that_posts_with_what_it_was_given():
    out = draw('{% confirm_button "/del/" "Delete" typed="v.3" version=3 %}')
    assert 'method="post" action="/del/"' in out and 'name="version" value="3"' in out
    assert 'pattern="v\\.3"' in out and "csrfmiddlewaretoken" in out


def test_two_questions_on_a_page_have_ids_of_their_own():
    out = draw('{% confirm_button "/del/1/" "Delete" %}{% confirm_button "/del/2/" "Delete" %}')
    assert 'id="ask-del1-delete"' in out and 'id="ask-del2-delete"' in out


class Sample(forms.Form):
    name = forms.CharField(help_text="What people call it.")
    keep = forms.BooleanField(required=False)
    kind = forms.ChoiceField(choices=[("a", "A"), ("b", "B")], widget=forms.RadioSelect)


def test_a_field_is_told_where_its_help_and_its_error_stand():
    out = draw("{{ form.name.as_field_group }}", form=Sample({}))
    assert 'aria-describedby="id_name_helptext id_name_error"' in out and 'aria-invalid="true"' in out
    assert 'id="id_name_helptext"' in out and 'id="id_name_error"' in out


def test_choices_are_a_group_with_a_legend():
    out = draw("{{ form.kind.as_field_group }}", form=Sample())
    assert "<fieldset" in out and "<legend>Kind</legend>" in out


def test_what_is_not_needed_says_so():
    assert "(optional)" in draw("{{ form.goal.as_field_group }}", form=SpecimenForm())
    assert "(optional)" not in draw("{{ form.name.as_field_group }}", form=Sample())


def test_the_errors_of_a_form_stand_first_and_lead_to_their_fields():
    out = draw("{% form_errors form %}", form=Sample({}))
    assert 'role="alert"' in out and 'href="#id_name"' in out and "2 things to mend" in out
    assert draw("{% form_errors form %}", form=Sample()) == ""


def test_every_icon_can_be_drawn():
    for name in ICONS:
        assert "<svg" in draw("{% icon name %}", name=name)


def test_soft_text_may_break_after_underscores_and_is_escaped():
    page = draw("{{ label|soft }}", label="card_arrival/<b>")
    assert page == "card_<wbr>arrival/<wbr>&lt;b&gt;"
