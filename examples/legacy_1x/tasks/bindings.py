from channels.binding.websockets import WebsocketBinding

from tasks.models import Task


class TaskBinding(WebsocketBinding):
    model = Task
    stream = "tasks"
    fields = ["title", "done"]

    @classmethod
    def group_names(cls, instance):
        return ["tasks"]

    def has_permission(self, user, action, pk):
        return user.is_authenticated
