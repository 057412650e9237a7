import decisions.domain.facts
import django.core.validators
import django.db.models.deletion
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
            name='UseCase',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('description', models.TextField(blank=True, verbose_name='what should it do?')),
                ('task_kind', models.CharField(choices=[('classify', 'Classify: pick one label'), ('extract', 'Extract: fill in fields'), ('answer', 'Answer: reply to a question'), ('write', 'Write: produce a text')], default=decisions.domain.facts.TaskKind['CLASSIFY'], max_length=10)),
                ('labels', models.JSONField(blank=True, default=list)),
                ('output_schema', models.JSONField(blank=True, null=True)),
                ('task_complexity', models.CharField(choices=[('simple', 'Simple'), ('moderate', 'Moderate'), ('complex', 'Complex')], default=decisions.domain.facts.Complexity['MODERATE'], max_length=10)),
                ('data_availability', models.CharField(choices=[('low', 'Low'), ('medium', 'Medium'), ('high', 'High')], default=decisions.domain.facts.Level['MEDIUM'], max_length=10)),
                ('data_quality', models.CharField(choices=[('low', 'Low'), ('medium', 'Medium'), ('high', 'High')], default=decisions.domain.facts.Level['MEDIUM'], max_length=10)),
                ('volume_per_day', models.PositiveBigIntegerField(default=1000, validators=[django.core.validators.MaxValueValidator(10000000000)], verbose_name='requests a day')),
                ('budget_constraint', models.CharField(choices=[('low', 'Low'), ('medium', 'Medium'), ('high', 'High')], default=decisions.domain.facts.Level['MEDIUM'], max_length=10, verbose_name='budget')),
                ('time_to_market', models.CharField(choices=[('urgent', 'Urgent'), ('normal', 'Normal'), ('relaxed', 'Relaxed')], default=decisions.domain.facts.Timing['NORMAL'], max_length=10, verbose_name='timing')),
                ('requires_factual_accuracy', models.BooleanField(default=False, verbose_name='needs factual accuracy')),
                ('requires_consistency', models.BooleanField(default=False, verbose_name='needs the same answer every time')),
                ('requires_specialised_behaviour', models.BooleanField(default=False, verbose_name='needs specialised behaviour')),
                ('has_knowledge_base', models.BooleanField(default=False, verbose_name='a knowledge base exists')),
                ('data_changes_frequently', models.BooleanField(default=False, verbose_name='the knowledge changes often')),
                ('requires_citations', models.BooleanField(default=False, verbose_name='needs citations')),
                ('requires_flexibility', models.BooleanField(default=False, verbose_name='needs flexibility')),
                ('domain_specific', models.BooleanField(default=False, verbose_name='is domain-specific')),
                ('prompt_solves_it', models.BooleanField(blank=True, null=True, verbose_name='does a prompt solve it?')),
                ('examples_in_hand', models.PositiveBigIntegerField(blank=True, null=True)),
                ('expected_gain', models.DecimalField(blank=True, decimal_places=4, max_digits=6, null=True, validators=[django.core.validators.MinValueValidator(-1), django.core.validators.MaxValueValidator(1)])),
                ('is_prototype', models.BooleanField(default=False, verbose_name='still exploring')),
                ('behaviour_changes_often', models.BooleanField(default=False, verbose_name='the wanted behaviour changes often')),
                ('value_per_improved_microusd', models.PositiveBigIntegerField(default=500000)),
                ('rates', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('archived_at', models.DateTimeField(blank=True, null=True)),
                ('measured', models.JSONField(blank=True, default=dict, editable=False)),
                ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
            ],
            options={
                'indexes': [models.Index(fields=['team', 'archived_at', '-id'], name='use_cases_of_a_team')],
                'constraints': [models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='use_case_has_a_name')],
            },
        ),
        migrations.CreateModel(
            name='Decision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('note', models.TextField(blank=True)),
                ('inputs', models.JSONField()),
                ('inputs_sha256', models.CharField(max_length=64)),
                ('result', models.JSONField()),
                ('recommendation', models.CharField(max_length=20)),
                ('headline', models.CharField(max_length=300)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('author', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
                ('use_case', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='decisions', to='decisions.usecase')),
            ],
            options={
                'ordering': ['-number'],
                'constraints': [models.UniqueConstraint(fields=('use_case', 'number'), name='one_decision_a_number')],
            },
        ),
        migrations.CreateModel(
            name='RoiAnalysis',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('note', models.TextField(blank=True)),
                ('inputs', models.JSONField()),
                ('inputs_sha256', models.CharField(max_length=64)),
                ('result', models.JSONField()),
                ('is_measured', models.BooleanField(default=False)),
                ('source', models.CharField(blank=True, max_length=300)),
                ('is_positive', models.BooleanField(default=False)),
                ('headline', models.CharField(max_length=300)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('author', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
                ('use_case', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='roi_analyses', to='decisions.usecase')),
            ],
            options={
                'verbose_name': 'ROI analysis',
                'verbose_name_plural': 'ROI analyses',
                'ordering': ['-number'],
                'constraints': [models.UniqueConstraint(fields=('use_case', 'number'), name='one_roi_analysis_a_number')],
            },
        ),
        migrations.CreateModel(
            name='Evidence',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=60)),
                ('value', models.JSONField()),
                ('source', models.CharField(max_length=300)),
                ('as_of', models.DateTimeField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('recorded_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
                ('use_case', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='evidence', to='decisions.usecase')),
            ],
            options={
                'verbose_name': 'evidence',
                'verbose_name_plural': 'evidence',
                'ordering': ['-as_of', '-id'],
                'indexes': [models.Index(fields=['use_case', 'kind', '-as_of'], name='evidence_of_a_use_case')],
            },
        ),
        migrations.AddField(
            model_name='usecase',
            name='latest_decision',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='decisions.decision'),
        ),
        migrations.AddField(
            model_name='usecase',
            name='latest_roi',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='decisions.roianalysis'),
        ),
    ]
