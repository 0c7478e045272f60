# ViperGPT's programs about a video; here it has one frame.
def execute_command(video):
    video_segment = VideoSegment(video)
    info = {}
    for i, frame in enumerate(video_segment.frame_iterator()):
        info[f"frame {i}"] = [frame.simple_query("What is happening?"), len(frame.find("person"))]
    return video_segment.select_answer(info, "Is anybody in danger?", ["yes", "no"])
