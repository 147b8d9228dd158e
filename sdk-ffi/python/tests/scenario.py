"""The driver of `tests/peers/scenario.json` for Python. What a driver must do is said there."""

import asyncio
import hashlib
import json
import os
import pathlib
import sys

from hivesync import (
    ClientOptions,
    Credentials,
    HiveSync,
    HiveSyncError,
    NotificationEvent,
    Platform,
    PreviewToken,
    PublishOptions,
    PublishPhase,
)

STEP_SECS_MAX = 60


def line():
    return json.loads(sys.stdin.readline())


def say(said):
    print(json.dumps(said), flush=True)


def name(value):
    """The name of an enum's variant, as the scenario writes it."""
    return value.name.lower()


def digests(root):
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Story:
    """What the clients of the story share."""

    def __init__(self, secrets):
        self.email, self.password = secrets["email"], secrets["password"]
        self.project = None
        self.synced = None
        self.published = None
        self.downloads = 0

    def new_download(self):
        self.downloads += 1
        return pathlib.Path(os.environ["HIVESYNC_DOWNLOADS"], str(self.downloads))


class Actor:
    """One client of the story. Its verbs are its methods."""

    def __init__(self, client, story):
        self.client, self.story = client, story
        self.account = None
        self.stream = None

    @classmethod
    async def named(cls, called, story):
        options = ClientOptions(
            server_url=os.environ["HIVESYNC_SERVER_URL"],
            device_name=called,
            platform=Platform.IOS if called == "phone" else Platform.DESKTOP,
            root_certificates=pathlib.Path(os.environ["HIVESYNC_ROOT_CERTIFICATES"]).read_text(),
        )
        return cls(await HiveSync.in_memory(options), story)

    async def register(self, step):
        await self.client.register(Credentials(step["email"], self.story.password), step["name"])
        return {"registered": True}

    async def sign_in(self, step):
        email, password = step.get("email", self.story.email), step.get("password", self.story.password)
        credentials = Credentials(email, password)
        self.account = await self.client.sign_in(credentials)
        known = await self.client.account()
        return {"signed_in": known == self.account, "persistent": known.persistent}

    async def list_teams(self, step):
        page = await self.client.list_teams()
        return {
            "teams": [{"name": team.name, "personal": team.personal, "role": name(team.role)} for team in page.items]
        }

    async def create_project(self, step):
        me = await self.client.me()
        project = await self.client.create_project(
            me.personal_team_id, step["name"], os.environ["HIVESYNC_REPOSITORY_URL"]
        )
        self.story.project = project.id
        return {"name": project.name, "mirror": name(project.mirror_state)}

    async def link_repository(self, step):
        me = await self.client.me()
        before = await self.client.create_project(me.personal_team_id, step["name"])
        after = await self.client.link_repository(before.id, os.environ["HIVESYNC_REPOSITORY_URL"])
        return {"before": name(before.mirror_state), "after": name(after.mirror_state)}

    async def sync(self, step):
        progressed = False
        async for job in self.client.sync(self.story.project):
            progressed |= job.progress is not None and job.progress.done > 0
            self.story.synced = job
        project = await self.client.get_project(self.story.project)
        return {
            "kind": name(self.story.synced.kind),
            "state": name(self.story.synced.state),
            "progressed": progressed,
            "mirror": name(project.mirror_state),
            "head": project.head_commit,
        }

    async def get_job(self, step):
        return {"same": await self.client.get_job(self.story.synced.id) == self.story.synced}

    async def list_jobs(self, step):
        me = await self.client.me()
        page = await self.client.list_jobs(me.personal_team_id, self.story.project)
        return {"kinds": [name(job.kind) for job in page.items]}

    async def tree(self, step):
        tree = await self.client.list_tree(self.story.project, recursive=True)
        return {"paths": [entry.path for entry in tree.items]}

    async def read(self, step):
        file = await self.client.read_file(self.story.project, step["path"])
        return {"size": len(file.bytes), "sha256": hashlib.sha256(file.bytes).hexdigest()}

    async def follow(self, step):
        self.stream = self.client.follow_notifications()
        first = await anext(self.stream)
        return {"event": "connected" if first.is_connected() else "another"}

    async def told(self, step):
        reconnected = gap = False
        async for event in self.stream:
            if isinstance(event, NotificationEvent.RECONNECTED):
                reconnected = True
            elif isinstance(event, NotificationEvent.GAP):
                gap = True
            elif isinstance(event, NotificationEvent.ARRIVED) and name(event.notification.kind) == step["kind"]:
                text_is_empty = event.notification.text == ""
                return {
                    "kind": step["kind"],
                    "text_is_empty": text_is_empty,
                    "reconnected": reconnected,
                    "gap": gap,
                }
        raise AssertionError("the stream ended")

    async def publish(self, step):
        options = PublishOptions(platform=Platform.IOS)
        progressed = False
        publishing = self.client.publish_preview(self.story.project, os.environ["HIVESYNC_BUNDLE"], options)
        async for _ in publishing:
            progressed = True
        published = self.story.published = await publishing
        return {
            "files": published.stats.files,
            "new_files": published.stats.new_files,
            "left_out": published.stats.left_out,
            "state": name(published.preview.state),
            "progressed": progressed,
        }

    async def open(self, step):
        preview = await self.client.open_preview(self.story.published.token)
        directory = self.story.new_download()
        download = preview.download(str(directory))
        async for _ in download:
            pass
        await download
        return {"entry_point": preview.entry_point(), "files": digests(directory)}

    async def open_altered(self, step):
        token = self.story.published.token.expose()
        altered = token[:-4] + ("BBBB" if token.endswith("AAAA") else "AAAA")
        await self.client.open_preview(PreviewToken(altered))
        return {"opened": True}

    async def get_preview(self, step):
        preview = await self.client.get_preview(self.story.published.preview.id)
        return {"state": name(preview.state), "files": preview.file_count}

    async def list_previews(self, step):
        page = await self.client.list_previews(self.story.project)
        return {"states": [name(preview.state) for preview in page.items]}

    async def revoke(self, step):
        preview = await self.client.revoke_preview(self.story.published.preview.id)
        return {"state": name(preview.state)}

    async def list_projects(self, step):
        me = await self.client.me()
        page = await self.client.list_projects(me.personal_team_id)
        return {"names": [project.name for project in page.items]}

    async def cancel_job(self, step):
        job = await self.client.sync_repository(self.story.project)
        await self.client.cancel_job(job.id)
        async for state in self.client.watch_job(job.id):
            job = state
        return {"state": name(job.state)}

    async def cancel_publish(self, step):
        options = PublishOptions(platform=Platform.IOS)
        publishing = self.client.publish_preview(self.story.project, os.environ["HIVESYNC_DRAFT"], options)
        async for progress in publishing:
            if progress.phase == PublishPhase.VERIFYING:
                break
        publishing.cancel()
        published = await publishing
        return {"state": name(published.preview.state)}

    async def wake(self, step):
        await self.client.wake()
        return {"awake": True}

    async def same_session(self, step):
        return {"same": await self.client.account() == self.account}

    async def mark_read(self, step):
        page = await self.client.list_notifications(size=1)
        newest = page.items[0].sequence if page.items else 0
        return {"unread": await self.client.mark_notifications_read(newest)}

    async def delete_project(self, step):
        await self.client.delete_project(self.story.project)
        return {"deleted": True}

    async def sign_out(self, step):
        await self.client.sign_out()
        return {"signed_out": True}


def ask(what):
    say({"ask": what})
    return {"answer": line()}


async def outcome_of(actor, step):
    try:
        return await asyncio.wait_for(getattr(actor, step["do"])(step), STEP_SECS_MAX)
    except HiveSyncError as error:
        return {"error": error.details.code, "reason": error.details.reason}


async def main():
    steps = json.loads(pathlib.Path(os.environ["HIVESYNC_SCENARIO"]).read_text())["steps"]
    story, actors = Story(line()), {}
    for number, step in enumerate(steps, start=1):
        called = step.get("as")
        if called is None:
            outcome = ask(step["what"])
        else:
            if called not in actors:
                actors[called] = await Actor.named(called, story)
            outcome = await outcome_of(actors[called], step)
        say({"step": number, "outcome": outcome})


asyncio.run(main())
