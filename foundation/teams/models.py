"""People and what belongs to them: users, teams, memberships, and the record of what they did.

Knows no floor above; every tenant table of the portal inherits `TeamOwned` from here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models

from foundation.teams.domain.roles import Role
from foundation.teams.domain.scopes import Scope
from foundation.teams.domain.themes import Theme

ROLE_CHOICES = [(r.value, r.label) for r in Role]


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: object) -> User:
        """A saved user who signs in with `email`. Raises ValueError without one."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> User:
        """A saved user who may open the admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, email: str | None) -> User:
        """The user of this e-mail address, however it is spelt in upper and lower case."""
        return self.get(email=(email or "").lower())


class User(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True)
    theme = models.CharField(
        max_length=10, choices=[(t.value, t.label) for t in Theme], default=Theme.SYSTEM.value
    )
    wants_email = models.BooleanField("send notices by e-mail too", default=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    joined_at = models.DateTimeField(auto_now_add=True)

    objects = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []

    def __str__(self) -> str:
        return self.name or self.email


class Team(models.Model):
    slug = models.SlugField(unique=True, max_length=60)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class TeamQuerySet(models.QuerySet):
    def visible_to(self, user: Any) -> Any:
        """Rows of the teams `user` belongs to; a superuser sees all, a stranger none."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if user.is_superuser:
            return self
        return self.filter(team__memberships__user=user)

    def of(self, team: Team) -> Any:
        """Rows of one team."""
        return self.filter(team=team)


class Membership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.PositiveSmallIntegerField(choices=ROLE_CHOICES, default=Role.VIEWER.value)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="one_membership_a_team")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"


class TeamOwned(models.Model):
    """Base of every tenant table."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")

    objects = TeamQuerySet.as_manager()

    class Meta:
        abstract = True


class InvitationQuerySet(TeamQuerySet):
    def open(self, now: datetime) -> InvitationQuerySet:
        """Those that can still be accepted at `now`."""
        return self.filter(accepted_at=None, revoked_at=None, expires_at__gt=now)


class Invitation(TeamOwned):
    """A link that lets one person into one team, once. Only the link's hash is kept."""

    email = models.EmailField(blank=True)
    role = models.PositiveSmallIntegerField(choices=ROLE_CHOICES, default=Role.VIEWER.value)
    token_sha256 = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["team", "-created_at"])]

    def __str__(self) -> str:
        return f"{self.email or 'anybody with the link'} as {Role(self.role).label.lower()}"


class ApiToken(TeamOwned):
    """A key for programs, acting as its maker in one team. Only the secret's hash is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=8, unique=True)
    secret_sha256 = models.CharField(max_length=64)
    scope = models.CharField(
        max_length=10, choices=[(s.value, s.label) for s in Scope], default=Scope.READ.value
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    # What it may do now; set by `tokens.authenticate`, which cuts the scope to its maker's role of today.
    role: Role

    class Meta:
        indexes = [models.Index(fields=["team", "-created_at"])]

    def __str__(self) -> str:
        return f"{self.name} (ftl_{self.prefix}…)"


class AuditQuerySet(TeamQuerySet):
    def matching(self, *, verb: str = "", actor_id: int | None = None) -> AuditQuerySet:
        """Events of one verb (or of one noun, as in "dataset"), of one person; all when neither is given."""
        found = self
        if verb:
            found = found.filter(verb=verb) if "." in verb else found.filter(verb__startswith=f"{verb}.")
        return found.filter(actor_id=actor_id) if actor_id is not None else found

    def verbs(self) -> Any:
        """The verbs that occur, each once."""
        return self.order_by().values_list("verb", flat=True).distinct()

    def before(self, event_id: int | None) -> AuditQuerySet:
        """Newest first, from below `event_id` on."""
        found = self.select_related("actor").order_by("-id")
        return found.filter(pk__lt=event_id) if event_id is not None else found


class AuditEvent(models.Model):
    """Who changed what, when: ids, field names and digests, never the text itself.

    Rows are only ever added (database triggers refuse the rest). The seal is put on afterwards, in batches:
    `sha256` covers the row and the one sealed before it in this team. `actor` has no database constraint,
    so that erasing a person leaves the number behind and nothing else.
    """

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    actor = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    verb = models.CharField(max_length=80)
    target_type = models.CharField(max_length=80, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    fields = models.JSONField(default=list, blank=True)
    digests = models.JSONField(default=dict, blank=True)
    note = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField()
    seal_number = models.PositiveBigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, null=True, blank=True)

    objects = AuditQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["team", "-id"]),
            models.Index(fields=["team", "verb", "-id"]),
            models.Index(fields=["team", "target_type", "target_id"]),
            models.Index(fields=["team"], condition=models.Q(seal_number=None), name="audit_unsealed"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["team", "seal_number"], name="one_audit_event_a_seal_number")
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.target_type} {self.target_id}".strip()

    @property
    def target_noun(self) -> str:
        """The kind of row in one word, as in "dataset"."""
        return self.target_type.rpartition(".")[2]


class AuditSeal(TeamOwned):
    """One batch of sealed events: a second place that knows how long the chain is and how it ends."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    last_number = models.PositiveBigIntegerField()
    head = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "last_number"], name="one_seal_a_number")]

    def __str__(self) -> str:
        return f"{self.team} up to {self.last_number}"


class Press(models.Model):
    """A form's key that was pressed: a second press finds what the first made. Forgotten after days."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64, unique=True)
    made = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        verbose_name_plural = "presses"

    def __str__(self) -> str:
        return self.digest[:12]


class NoticeQuerySet(TeamQuerySet):
    def visible_to(self, user: Any) -> Any:
        """This person's own notices, from teams they are still in; nobody reads another's."""
        if not user.is_authenticated:
            return self.none()
        return super().visible_to(user).filter(user=user)

    def before(self, notice_id: int | None) -> NoticeQuerySet:
        """Newest first, from below `notice_id` on."""
        found = self.select_related("team").order_by("-id")
        return found.filter(pk__lt=notice_id) if notice_id is not None else found

    def unread(self) -> NoticeQuerySet:
        """Those not read yet."""
        return self.filter(read_at=None)


class Notice(TeamOwned):
    """One line in one person's inbox."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notices")
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    url = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField(null=True, blank=True)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "-id"]),
            models.Index(fields=["user"], condition=models.Q(read_at=None), name="notice_unread"),
        ]

    def __str__(self) -> str:
        return self.title
