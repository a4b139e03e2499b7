"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from lando.api.models import JsonText, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.create_table(
        "job_flavors",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("cpus", sa.Integer(), nullable=False),
        sa.Column("memory", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_flavors")),
        sa.UniqueConstraint("name", name=op.f("uq_job_flavors_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "job_runtimes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_runtimes")),
        sa.UniqueConstraint("name", name=op.f("uq_job_runtimes_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "job_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_tokens")),
        sa.UniqueConstraint("token", name=op.f("uq_job_tokens_token")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "lando_connections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cluster_type", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("password", sa.String(length=255), nullable=False),
        sa.Column("queue_name", sa.String(length=255), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("message_format", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lando_connections")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "share_groups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share_groups")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "storage_endpoints",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("agent_key", sa.String(length=255), nullable=False),
        sa.Column("api_root", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_endpoints")),
        sa.UniqueConstraint("name", name=op.f("uq_storage_endpoints_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "storage_users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("dds_id", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_users")),
        sa.UniqueConstraint("dds_id", name=op.f("uq_storage_users_dds_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(length=150), nullable=False),
        sa.Column("first_name", sa.String(length=150), nullable=False),
        sa.Column("last_name", sa.String(length=150), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("is_staff", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("username", name=op.f("uq_users_username")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "files",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_files_owner_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
    )
    op.create_index(op.f("ix_files_owner_id"), "files", ["owner_id"], unique=False)
    op.create_table(
        "job_runtime_steps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("runtime_id", sa.Integer(), nullable=False),
        sa.Column("flavor_id", sa.Integer(), nullable=False),
        sa.Column("step_type", sa.String(length=64), nullable=False),
        sa.Column("image_name", sa.Text(), nullable=False),
        sa.Column("base_command", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(["flavor_id"], ["job_flavors.id"], name=op.f("fk_job_runtime_steps_flavor_id")),
        sa.ForeignKeyConstraint(
            ["runtime_id"], ["job_runtimes.id"], name=op.f("fk_job_runtime_steps_runtime_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_runtime_steps")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_job_runtime_steps_runtime_id"), "job_runtime_steps", ["runtime_id"], unique=False)
    op.create_table(
        "job_settings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("lando_connection_id", sa.Integer(), nullable=False),
        sa.Column("runtime_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["lando_connection_id"], ["lando_connections.id"], name=op.f("fk_job_settings_lando_connection_id")
        ),
        sa.ForeignKeyConstraint(["runtime_id"], ["job_runtimes.id"], name=op.f("fk_job_settings_runtime_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_settings")),
        sa.UniqueConstraint("name", name=op.f("uq_job_settings_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "pending_commands",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("lando_connection_id", sa.Integer(), nullable=False),
        sa.Column("command", sa.String(length=16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due", UtcDateTime(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["lando_connection_id"], ["lando_connections.id"], name=op.f("fk_pending_commands_lando_connection_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_commands")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_pending_commands_due"), "pending_commands", ["due"], unique=False)
    op.create_table(
        "share_group_users",
        sa.Column("share_group_id", sa.Integer(), nullable=False),
        sa.Column("storage_user_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["share_group_id"],
            ["share_groups.id"],
            name=op.f("fk_share_group_users_share_group_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["storage_user_id"],
            ["storage_users.id"],
            name=op.f("fk_share_group_users_storage_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("share_group_id", "storage_user_id", name=op.f("pk_share_group_users")),
    )
    op.create_table(
        "stage_groups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_stage_groups_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stage_groups")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_stage_groups_user_id"), "stage_groups", ["user_id"], unique=False)
    op.create_table(
        "storage_credentials",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=255), nullable=False),
        sa.Column("dds_id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["storage_endpoints.id"], name=op.f("fk_storage_credentials_endpoint_id")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_storage_credentials_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_credentials")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(length=32), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tokens_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_tokens_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_tokens_user_id"), "tokens", ["user_id"], unique=False)
    op.create_table(
        "workflows",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("tag", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=1), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_workflows_owner_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflows")),
        sa.UniqueConstraint("tag", name=op.f("uq_workflows_tag")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_workflows_owner_id"), "workflows", ["owner_id"], unique=False)
    op.create_table(
        "dds_input_files",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage_group_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("file_id", sa.String(length=255), nullable=False),
        sa.Column("dds_user_credentials_id", sa.Integer(), nullable=False),
        sa.Column("destination_path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sequence_group", sa.Integer(), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dds_user_credentials_id"],
            ["storage_credentials.id"],
            name=op.f("fk_dds_input_files_dds_user_credentials_id"),
        ),
        sa.ForeignKeyConstraint(
            ["stage_group_id"], ["stage_groups.id"], name=op.f("fk_dds_input_files_stage_group_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dds_input_files")),
        sa.UniqueConstraint(
            "stage_group_id",
            "sequence_group",
            "sequence",
            name=op.f("uq_dds_input_files_stage_group_id_sequence_group_sequence"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_dds_input_files_stage_group_id"), "dds_input_files", ["stage_group_id"], unique=False)
    op.create_table(
        "job_strategies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("job_flavor_id", sa.Integer(), nullable=False),
        sa.Column("job_settings_id", sa.Integer(), nullable=False),
        sa.Column("volume_size_base", sa.Integer(), nullable=False),
        sa.Column("volume_size_factor", sa.Integer(), nullable=False),
        sa.Column("volume_mounts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_flavor_id"], ["job_flavors.id"], name=op.f("fk_job_strategies_job_flavor_id")),
        sa.ForeignKeyConstraint(
            ["job_settings_id"], ["job_settings.id"], name=op.f("fk_job_strategies_job_settings_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_strategies")),
        sa.UniqueConstraint("name", name=op.f("uq_job_strategies_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "url_input_files",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage_group_id", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("destination_path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sequence_group", sa.Integer(), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["stage_group_id"], ["stage_groups.id"], name=op.f("fk_url_input_files_stage_group_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_url_input_files")),
        sa.UniqueConstraint(
            "stage_group_id",
            "sequence_group",
            "sequence",
            name=op.f("uq_url_input_files_stage_group_id_sequence_group_sequence"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_url_input_files_stage_group_id"), "url_input_files", ["stage_group_id"], unique=False)
    op.create_table(
        "workflow_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("workflow_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("workflow_path", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("version_info_url", sa.Text(), nullable=True),
        sa.Column("fields", JsonText(), nullable=False),
        sa.Column("enable_ui", sa.Boolean(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflows.id"], name=op.f("fk_workflow_versions_workflow_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_versions")),
        sa.UniqueConstraint("workflow_id", "version", name=op.f("uq_workflow_versions_workflow_id_version")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("workflow_version_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("fund_code", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=1), nullable=False),
        sa.Column("step", sa.String(length=1), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("last_updated", UtcDateTime(), nullable=False),
        sa.Column("job_order", sa.Text(), nullable=False),
        sa.Column("job_settings_id", sa.Integer(), nullable=False),
        sa.Column("job_flavor_id", sa.Integer(), nullable=False),
        sa.Column("share_group_id", sa.Integer(), nullable=False),
        sa.Column("stage_group_id", sa.Integer(), nullable=True),
        sa.Column("run_token_id", sa.Integer(), nullable=True),
        sa.Column("volume_size", sa.Integer(), nullable=False),
        sa.Column("vm_instance_name", sa.String(length=255), nullable=False),
        sa.Column("vm_volume_name", sa.String(length=255), nullable=False),
        sa.Column("vm_volume_mounts", sa.Text(), nullable=False),
        sa.Column("cleanup_vm", sa.Boolean(), nullable=False),
        sa.Column("authorized", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("condition_step", sa.String(length=64), nullable=True),
        sa.Column("condition", sa.Text(), nullable=True),
        sa.Column("condition_since", UtcDateTime(), nullable=True),
        sa.Column("warnings", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(["job_flavor_id"], ["job_flavors.id"], name=op.f("fk_jobs_job_flavor_id")),
        sa.ForeignKeyConstraint(["job_settings_id"], ["job_settings.id"], name=op.f("fk_jobs_job_settings_id")),
        sa.ForeignKeyConstraint(
            ["run_token_id"], ["job_tokens.id"], name=op.f("fk_jobs_run_token_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["share_group_id"], ["share_groups.id"], name=op.f("fk_jobs_share_group_id")),
        sa.ForeignKeyConstraint(
            ["stage_group_id"], ["stage_groups.id"], name=op.f("fk_jobs_stage_group_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_jobs_user_id")),
        sa.ForeignKeyConstraint(
            ["workflow_version_id"],
            ["workflow_versions.id"],
            name=op.f("fk_jobs_workflow_version_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("run_token_id", name=op.f("uq_jobs_run_token_id")),
        sa.UniqueConstraint("stage_group_id", name=op.f("uq_jobs_stage_group_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)
    op.create_index(op.f("ix_jobs_user_id"), "jobs", ["user_id"], unique=False)
    op.create_table(
        "methods_documents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("workflow_version_id", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_version_id"],
            ["workflow_versions.id"],
            name=op.f("fk_methods_documents_workflow_version_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_methods_documents")),
        sa.UniqueConstraint("workflow_version_id", name=op.f("uq_methods_documents_workflow_version_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tool_details",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("workflow_version_id", sa.Integer(), nullable=False),
        sa.Column("details", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_version_id"],
            ["workflow_versions.id"],
            name=op.f("fk_tool_details_workflow_version_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tool_details")),
        sa.UniqueConstraint("workflow_version_id", name=op.f("uq_tool_details_workflow_version_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "workflow_configurations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(length=255), nullable=False),
        sa.Column("workflow_id", sa.Integer(), nullable=False),
        sa.Column("system_job_order", JsonText(), nullable=False),
        sa.Column("overridable", JsonText(), nullable=False),
        sa.Column("default_job_strategy_id", sa.Integer(), nullable=False),
        sa.Column("share_group_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["default_job_strategy_id"],
            ["job_strategies.id"],
            name=op.f("fk_workflow_configurations_default_job_strategy_id"),
        ),
        sa.ForeignKeyConstraint(
            ["share_group_id"], ["share_groups.id"], name=op.f("fk_workflow_configurations_share_group_id")
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflows.id"], name=op.f("fk_workflow_configurations_workflow_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_configurations")),
        sa.UniqueConstraint("workflow_id", "tag", name=op.f("uq_workflow_configurations_workflow_id_tag")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "job_activities",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=1), nullable=False),
        sa.Column("step", sa.String(length=1), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_activities_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_activities")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_job_activities_job_id"), "job_activities", ["job_id"], unique=False)
    op.create_table(
        "job_errors",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("job_step", sa.String(length=1), nullable=False),
        sa.Column("category", sa.String(length=32), nullable=True),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_errors_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_errors")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_job_errors_job_id"), "job_errors", ["job_id"], unique=False)
    op.create_table(
        "output_projects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("readme_file_id", sa.Text(), nullable=False),
        sa.Column("dds_user_credentials_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dds_user_credentials_id"],
            ["storage_credentials.id"],
            name=op.f("fk_output_projects_dds_user_credentials_id"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_output_projects_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_output_projects")),
        sa.UniqueConstraint("job_id", name=op.f("uq_output_projects_job_id")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Take this version back."""
    op.drop_table("output_projects")
    op.drop_index(op.f("ix_job_errors_job_id"), table_name="job_errors")
    op.drop_table("job_errors")
    op.drop_index(op.f("ix_job_activities_job_id"), table_name="job_activities")
    op.drop_table("job_activities")
    op.drop_table("workflow_configurations")
    op.drop_table("tool_details")
    op.drop_table("methods_documents")
    op.drop_index(op.f("ix_jobs_user_id"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_state"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_table("workflow_versions")
    op.drop_index(op.f("ix_url_input_files_stage_group_id"), table_name="url_input_files")
    op.drop_table("url_input_files")
    op.drop_table("job_strategies")
    op.drop_index(op.f("ix_dds_input_files_stage_group_id"), table_name="dds_input_files")
    op.drop_table("dds_input_files")
    op.drop_index(op.f("ix_workflows_owner_id"), table_name="workflows")
    op.drop_table("workflows")
    op.drop_index(op.f("ix_tokens_user_id"), table_name="tokens")
    op.drop_table("tokens")
    op.drop_table("storage_credentials")
    op.drop_index(op.f("ix_stage_groups_user_id"), table_name="stage_groups")
    op.drop_table("stage_groups")
    op.drop_table("share_group_users")
    op.drop_index(op.f("ix_pending_commands_due"), table_name="pending_commands")
    op.drop_table("pending_commands")
    op.drop_table("job_settings")
    op.drop_index(op.f("ix_job_runtime_steps_runtime_id"), table_name="job_runtime_steps")
    op.drop_table("job_runtime_steps")
    op.drop_index(op.f("ix_files_owner_id"), table_name="files")
    op.drop_table("files")
    op.drop_table("users")
    op.drop_table("storage_users")
    op.drop_table("storage_endpoints")
    op.drop_table("share_groups")
    op.drop_table("lando_connections")
    op.drop_table("job_tokens")
    op.drop_table("job_runtimes")
    op.drop_table("job_flavors")
