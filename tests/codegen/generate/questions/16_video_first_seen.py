# In which of the frames is a swimmer seen first?
def execute_command(video):
    video_segment = VideoSegment(video)
    for i, frame in enumerate(video_segment.frame_iterator()):
        if frame.exists("swimmer"):
            return i
    return "No swimmer in any frame."
