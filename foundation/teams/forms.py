"""Forms about people."""

from __future__ import annotations

from typing import Any

from django import forms

from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope, scopes_for
from foundation.teams.domain.themes import Theme
from foundation.teams.models import User
from foundation.teams.presses import new_press
from foundation.teams.services import TOKEN_LIFE_DAYS

ROLE_HELP = {
    Role.VIEWER: "reads everything",
    Role.EDITOR: "also changes data, runs evaluations",
    Role.APPROVER: "also approves what goes live",
    Role.ADMIN: "also manages members, connections and the record",
}
ROLES = [(role.value, f"{role.label}: {ROLE_HELP[role]}") for role in Role]


class PressForm(forms.Form):
    """A form with a hidden key, so that pressing its button twice makes one thing."""

    press = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["press"].initial = new_press


class TeamForm(PressForm):
    name = forms.CharField(max_length=200, help_text="What people call you, as in “Support platform”.")


class RenameForm(forms.Form):
    name = forms.CharField(max_length=200, help_text="Addresses of pages stay as they are.")


class RoleForm(forms.Form):
    role = forms.TypedChoiceField(
        coerce=lambda value: Role(int(value)), choices=[(r.value, r.label) for r in Role]
    )


class InvitationForm(PressForm):
    email = forms.EmailField(
        required=False,
        label="E-mail address",
        help_text="Then only this address can use the link. Leave it empty to let in whoever has the link.",
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = forms.TypedChoiceField(
        coerce=lambda value: Role(int(value)),
        choices=ROLES,
        initial=Role.EDITOR.value,
        widget=forms.RadioSelect,
    )


class TokenForm(PressForm):
    name = forms.CharField(max_length=100, label="What is it for?", help_text="As in “nightly import”.")
    scope = forms.TypedChoiceField(coerce=Scope, label="It may")
    days = forms.TypedChoiceField(
        coerce=int,
        label="It ends after",
        choices=[(7, "7 days"), (30, "30 days"), (90, "90 days"), (366, "a year")],
        initial=TOKEN_LIFE_DAYS,
    )

    def __init__(self, *args: Any, role: Role, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scope"].choices = [(scope.value, scope.label) for scope in scopes_for(role)]


class ProfileForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ["name", "theme", "wants_email"]
        help_texts = {"name": "Shown to the people you work with."}
        labels = {"theme": "Looks", "wants_email": "Send my notices by e-mail too"}

    theme = forms.ChoiceField(choices=[(t.value, t.label) for t in Theme], label="Looks")


class AuditFilterForm(forms.Form):
    verb = forms.CharField(max_length=80, required=False)
    actor = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    before = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
