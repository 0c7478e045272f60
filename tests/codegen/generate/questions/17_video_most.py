# How many boats are in view at most, over all frames?
def execute_command(video):
    video_segment = VideoSegment(video)
    most = 0
    for frame in video_segment.frame_iterator():
        most = max(most, len(frame.find("boat")))
    return most
