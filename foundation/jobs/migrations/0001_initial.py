import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('teams', '0001_initial'),
        ('teams', '__first__'),
    ]

    operations = [
        migrations.CreateModel(
            name='WorkerSeen',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200, unique=True)),
                ('role', models.CharField(choices=[('worker', 'Worker'), ('beat', 'Clock')], max_length=8)),
                ('queues', models.CharField(blank=True, max_length=200)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('seen_at', models.DateTimeField(db_index=True)),
            ],
            options={
                'verbose_name_plural': 'workers seen',
                'ordering': ['role', 'name'],
            },
        ),
        migrations.CreateModel(
            name='Job',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=100)),
                ('title', models.CharField(max_length=300)),
                ('state', models.CharField(choices=[('planning', 'Planning'), ('queued', 'Queued'), ('running', 'Running'), ('paused', 'Paused'), ('cancelling', 'Cancelling'), ('cancelled', 'Cancelled'), ('succeeded', 'Done'), ('failed', 'Failed')], default='planning', max_length=12)),
                ('step', models.CharField(blank=True, max_length=200)),
                ('total', models.PositiveIntegerField(default=0)),
                ('done', models.PositiveIntegerField(default=0)),
                ('failed', models.PositiveIntegerField(default=0)),
                ('skipped', models.PositiveIntegerField(default=0)),
                ('part_done', models.PositiveBigIntegerField(default=0)),
                ('part_total', models.PositiveBigIntegerField(default=0)),
                ('cap_microusd', models.BigIntegerField(blank=True, null=True)),
                ('spent_microusd', models.BigIntegerField(default=0)),
                ('error', models.CharField(blank=True, max_length=1000)),
                ('recipe', models.JSONField(blank=True, default=dict)),
                ('result', models.JSONField(blank=True, default=dict)),
                ('subject_type', models.CharField(blank=True, max_length=100)),
                ('subject_id', models.BigIntegerField(blank=True, null=True)),
                ('url', models.CharField(blank=True, max_length=500)),
                ('dedupe_key', models.CharField(blank=True, max_length=200)),
                ('retryable', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('cancel_asked_at', models.DateTimeField(blank=True, null=True)),
                ('settled_at', models.DateTimeField(blank=True, null=True)),
                ('plan_cursor', models.BigIntegerField(blank=True, default=0, null=True)),
                ('pace_from_at', models.DateTimeField(blank=True, null=True)),
                ('pace_from_done', models.PositiveIntegerField(default=0)),
                ('pace_at', models.DateTimeField(blank=True, null=True)),
                ('lease_token', models.CharField(blank=True, max_length=32)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('lease_owner', models.CharField(blank=True, max_length=120)),
                ('control_attempts', models.PositiveSmallIntegerField(default=0)),
                ('control_after', models.DateTimeField(blank=True, null=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
            ],
            options={
                'ordering': ['-pk'],
                'indexes': [models.Index(fields=['team', '-id'], name='jobs_job_team'), models.Index(fields=['team', 'state', '-id'], name='jobs_job_team_state'), models.Index(fields=['subject_type', 'subject_id'], name='jobs_job_subject'), models.Index(condition=models.Q(('state__in', ['planning', 'queued', 'running', 'paused', 'cancelling'])), fields=['state'], name='jobs_job_open'), models.Index(condition=models.Q(('settled_at__isnull', True)), fields=['settled_at'], name='jobs_job_unsettled')],
                'constraints': [models.UniqueConstraint(condition=models.Q(models.Q(('dedupe_key', ''), _negated=True), models.Q(('state__in', ['failed', 'cancelled']), _negated=True)), fields=('team', 'dedupe_key'), name='jobs_one_job_a_key')],
            },
        ),
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('kind', models.CharField(max_length=100)),
                ('crontab', models.CharField(blank=True, help_text='Five fields in UTC: minute, hour, day of month, month, day of week.', max_length=100)),
                ('interval_s', models.PositiveIntegerField(blank=True, help_text='Seconds between two starts.', null=True)),
                ('recipe', models.JSONField(blank=True, default=dict)),
                ('enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('counts_from', models.DateTimeField(default=django.utils.timezone.now)),
                ('trouble', models.CharField(blank=True, max_length=300)),
                ('team', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
            ],
            options={
                'ordering': ['name', 'pk'],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(models.Q(('crontab', ''), _negated=True), ('interval_s__isnull', True)), models.Q(('crontab', ''), ('interval_s__isnull', False)), _connector='OR'), name='jobs_schedule_one_timing')],
            },
        ),
        migrations.CreateModel(
            name='ScheduleSlot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slot', models.DateTimeField()),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('late', models.BooleanField(default=False)),
                ('error', models.CharField(blank=True, max_length=300)),
                ('job', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='jobs.job')),
                ('schedule', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='slots', to='jobs.schedule')),
            ],
            options={
                'ordering': ['-slot'],
                'constraints': [models.UniqueConstraint(fields=('schedule', 'slot'), name='jobs_one_run_a_slot')],
            },
        ),
        migrations.CreateModel(
            name='Shard',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField()),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed'), ('skipped', 'Skipped')], default='queued', max_length=8)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('lease_token', models.CharField(blank=True, default='', max_length=32)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('lease_owner', models.CharField(blank=True, default='', max_length=120)),
                ('due_at', models.DateTimeField(blank=True, null=True)),
                ('error', models.CharField(blank=True, default='', max_length=500)),
                ('cost_microusd', models.BigIntegerField(default=0)),
                ('key', models.CharField(blank=True, max_length=200)),
                ('payload', models.JSONField(blank=True, default=dict)),
                ('result', models.JSONField(blank=True, default=dict)),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='jobs.job')),
            ],
            options={
                'abstract': False,
                'indexes': [models.Index(fields=['job', 'state', 'position'], name='shard_claim'), models.Index(condition=models.Q(('state', 'running')), fields=['lease_until'], name='shard_lease')],
                'constraints': [models.UniqueConstraint(fields=('job', 'position'), name='jobs_shard_place')],
            },
        ),
    ]
